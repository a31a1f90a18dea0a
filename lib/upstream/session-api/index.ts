import type { CognigyPort, CognigyReads } from '../../operations/ports/cognigy.ts';
import { connect, type SessionApiOptions } from './connection.ts';
import { replaceContext } from './context.ts';
import { dialogBody, updateDialog } from './dialog.ts';
import { inject, injectBytes } from './inject.ts';
import { readVariables } from './variables.ts';
import { enrich, webhookBody } from './webhook.ts';

/** Largest inject request (bytes, SPEC 4). */
const INJECT_MAX_BYTES = 262_144;
/** Largest change of a dialog (bytes, SPEC 4). */
const DIALOG_MAX_BYTES = 524_288;

/**
 * The `session-api` dialect behind the port (SPEC 3).
 *
 * Create it once per process: tokens and the places for concurrent requests are shared by all its calls.
 */
export function createSessionApi(options: SessionApiOptions): CognigyPort {
  const connection = connect(options);
  const surfaces = {
    inject: connection.surface('inject'),
    context: connection.surface('sync'),
    webhook: connection.surface('webhook'),
    dialog: connection.surface('dialogState'),
  };
  return {
    capabilities: {
      canRead: true,
      // The sync surface has ETags; inject merges on its side and does without.
      hasVersion: true,
      mergesServerSide: true,
      canUnset: false,
      injectMaxBytes: INJECT_MAX_BYTES,
      dialogMaxBytes: DIALOG_MAX_BYTES,
    },
    injectBytes: ({ variables, expired, surface }) =>
      surface === 'webhook' ? Buffer.byteLength(webhookBody(variables), 'utf8') : injectBytes(variables, expired),
    inject: (request, call) =>
      request.surface === 'webhook' ? enrich(surfaces.webhook, request, call) : inject(surfaces.inject, request, call),
    dialogBytes: (change) => Buffer.byteLength(dialogBody(change), 'utf8'),
    updateDialog: (request, call) => updateDialog(surfaces.dialog, request, call),
    replaceContext: (request, call) => replaceContext(surfaces.context, request, call),
    prepare: ({ surface = 'inject', ...call }) => connection.permit(surfaces[surface], call),
  };
}

/** What of the dialect only reads. By itself, so that whoever only writes need not carry it, nor the other way round. */
export function createSessionReads(options: SessionApiOptions): CognigyReads {
  const connection = connect(options);
  const reading = connection.surface('snapshot');
  return {
    readVariables: (request, call) => readVariables(reading, request, call),
    prepare: (call) => connection.permit(reading, call),
  };
}
