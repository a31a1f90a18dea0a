import type { DialogChange, DialogRequest, DialogResult, UpstreamCall } from '../../operations/ports/cognigy.ts';
import type { SurfaceOptions } from './surfaces.ts';

export function dialogBody(change: DialogChange): string {
  return JSON.stringify(change);
}

export async function updateDialog(
  _options: SurfaceOptions,
  _request: DialogRequest,
  _call: UpstreamCall,
): Promise<DialogResult> {
  throw new Error('not written yet');
}
