import { bodyOf, type LocalServer, listenOnLoopback, serverFor } from './listen.ts';

/** A stand-in for AWS Secrets Manager: `GetSecretValue` in the SDK's own protocol (AWS JSON 1.1), for the secrets given. */
export async function startSecretsManager(secrets: ReadonlyMap<string, string>): Promise<LocalServer> {
  const server = serverFor(async (request, response) => {
    const text = await bodyOf(request);
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
    };
    if (request.headers['x-amz-target'] !== 'secretsmanager.GetSecretValue') {
      return answer(400, { __type: 'InvalidRequestException', message: 'only GetSecretValue is served here' });
    }
    const { SecretId: id } = JSON.parse(text || '{}');
    const SecretString = secrets.get(id);
    if (SecretString === undefined) {
      return answer(400, {
        __type: 'ResourceNotFoundException',
        message: "Secrets Manager can't find the specified secret.",
      });
    }
    return answer(200, { ARN: id, Name: id, SecretString, VersionId: '1', VersionStages: ['AWSCURRENT'] });
  });
  return listenOnLoopback(server, 0);
}
