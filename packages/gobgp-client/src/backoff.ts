/** Delay before attempt 1, 2, 3… after a failure: 50 ms doubling to 2 s, less up to a quarter so that clients spread. */
export function backoffMs(attempt: number, random: () => number): number {
  const full = Math.min(2000, 50 * 2 ** Math.min(attempt - 1, 10));
  return Math.round(full * (1 - random() / 4));
}
