import { setTimeout as delay } from "node:timers/promises";

/** Resolves after a time, or as soon as `signal` aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** The answer of `work`, or undefined when it takes longer than `limitMs`. Its rejection is the caller's. */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController();
  try {
    return await Promise.race([work, pause(limitMs, timer.signal).then(() => undefined)]);
  } finally {
    timer.abort();
  }
}
