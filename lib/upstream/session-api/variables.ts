import type { ReadResult, UpstreamCall, VariablesRequest } from '../../operations/ports/cognigy.ts';
import type { SurfaceOptions } from './surfaces.ts';

/** Reads a session's variables, page by page (SPEC 3 "snapshot"). */
export async function readVariables(
  _options: SurfaceOptions,
  _request: VariablesRequest,
  _call: UpstreamCall,
): Promise<ReadResult> {
  throw new Error('not written yet');
}
