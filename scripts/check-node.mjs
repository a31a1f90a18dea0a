// Runs before start, build, test and package. Plain JavaScript that old versions can read too: it has to be able to say what is wrong.
if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(
    `Node 24 is needed, this is ${process.versions.node}: \`npm ci\` installs it as the package \`node\`; it seems install scripts ` +
      'were not allowed. Run `npm rebuild node --ignore-scripts=false`, or use a Node 24 of your own.',
  );
  process.exit(1);
}
