/**
 * What Lambda's Node.js runtime sets by the memory of the function: a tenth for the young generation (two halves), the rest for
 * the old one.
 */
export function lambdaNodeOptions(memoryMb: number): string {
  const semiSpaceMb = Math.floor(memoryMb / 20);
  return `--max-semi-space-size=${semiSpaceMb} --max-old-space-size=${memoryMb - 2 * semiSpaceMb}`;
}
