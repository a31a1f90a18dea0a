import { requireKeyPrefixes } from '../../lib/http/admission.ts';
import { createHttpHandler } from '../../lib/http/handler.ts';
import { auditRefusals } from '../../lib/http/refusals.ts';
import { updateDialogState } from '../../lib/operations/updateDialogState.ts';
import { createBridge, wireLane } from '../../lib/platform/deps.ts';
import { answerDialog, keysOf, readDialog } from './request.ts';

const bridge = createBridge('dialog-state', wireLane);

/** `PATCH /v1/dialogs/{dialogId}/state`: sets a dialog's variables and moves it on, together or not at all. */
export const handler = createHttpHandler({
  ...bridge.http,
  routes: {
    'PATCH /v1/dialogs/{dialogId}/state': {
      parameter: 'dialogId',
      operation: 'dialog-state',
      measured: 'dialog-state',
      body: 'json',
      handle: async (request) => {
        const command = readDialog(request);
        requireKeyPrefixes(request.client, keysOf(command));
        return answerDialog(command, await updateDialogState(await bridge.services(), command));
      },
      onRefused: auditRefusals(bridge.services, 'dialog-state'),
    },
  },
});
