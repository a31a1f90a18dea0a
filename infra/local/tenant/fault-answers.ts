import type { FaultAction } from './faults.ts';
import { type Answer, emptyAnswer, problem } from './messages.ts';

/** The answer that a fault gives instead of serving the request; undefined when the request is served all the same. */
export function answerInstead(action: FaultAction): Answer | undefined {
  if (action.redirectTo !== undefined) return { ...emptyAnswer(307), headers: { location: action.redirectTo } };
  return action.applied === true ? undefined : scriptedAnswer(action);
}

/** What a fault makes of the answer to a request that was served. A refusal stays: there was no change to hide. */
export function spoil(action: FaultAction, answer: Answer): Answer {
  if (answer.status >= 400) return answer;
  const { malformed } = action;
  if (malformed === undefined) return scriptedAnswer(action) ?? answer;
  switch (malformed) {
    case 'html':
      return {
        status: 200,
        headers: { 'content-type': 'text/html; charset=utf-8' },
        body: '<!doctype html><html><body><h1>Please log in</h1></body></html>',
      };
    case 'truncated':
      return { ...answer, body: answer.body.slice(0, Math.ceil(answer.body.length / 2)) };
    case 'wrong-shape':
      return { ...answer, body: '["not what this surface promises"]' };
    case 'empty':
      return { ...answer, body: '' };
  }
}

function scriptedAnswer({ status, headers, body }: FaultAction): Answer | undefined {
  if (status === undefined) return undefined;
  if (body === undefined)
    return problem({ status, code: 'scripted-fault', detail: 'A scripted fault.', headers: headers ?? {} });
  const contentType = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  return {
    status,
    headers: { 'content-type': contentType, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  };
}
