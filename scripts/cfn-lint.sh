#!/bin/sh
# npm run lint:template: checks the packaged CloudFormation template with cfn-lint, which lives in a virtual environment under .cache/.
# Run `npm run package` first. Without Python it says so and is content: the template's own tests (npm test) need none of this.
set -eu
cd "$(dirname "$0")/.."

version=1.58.0
template=.serverless/cloudformation-template-update-stack.json
venv=.cache/cfn-lint-$version

if [ ! -f "$template" ]; then
  echo "cfn-lint: no $template; run \`npm run package\` first" >&2
  exit 1
fi
if [ ! -x "$venv/bin/cfn-lint" ]; then
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo 'cfn-lint: NOT run, as there is no python3 with venv and pip'
    exit 0
  fi
  rm -rf "$venv"
  python3 -m venv "$venv"
  if ! "$venv/bin/pip" install --quiet --disable-pip-version-check "cfn-lint==$version"; then
    rm -rf "$venv"
    echo 'cfn-lint: NOT run, as pip could not install it'
    exit 0
  fi
fi

# W3005 (redundant DependsOn): osls writes these beside every reference; they are redundant and harmless.
"$venv/bin/cfn-lint" --ignore-checks W3005 --regions eu-central-1 us-east-1 --template "$template"
echo "cfn-lint: no findings in $template"
