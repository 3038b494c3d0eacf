/**
 * Readiness that is held down after it fell: bad news is reported at once, good news only after it has held for a time
 * that doubles with every fall and is forgotten when all has been well for long enough.
 */
export interface Damping {
  readonly reported: boolean;
  /** Since when the input has been ready without a break. */
  readonly readySinceMs: number | undefined;
  readonly falls: number;
  readonly lastFallMs: number;
}

export const NEVER_READY: Damping = { reported: false, readySinceMs: undefined, falls: 0, lastFallMs: 0 };

const BASE_MS = 1_000;
const MAX_MS = 30_000;
const FORGIVEN_AFTER_MS = 60_000;

/** How long readiness must hold before it is reported again after so many falls. */
export function holdDownMs(falls: number): number {
  return falls === 0 ? 0 : Math.min(MAX_MS, BASE_MS * 2 ** (falls - 1));
}

/** The next state, and after how many milliseconds it changes by itself if the input stays as it is. */
export function damp(
  before: Damping,
  ready: boolean,
  nowMs: number,
): { readonly damping: Damping; readonly againMs: number | undefined } {
  const forgiven = nowMs - before.lastFallMs >= FORGIVEN_AFTER_MS;
  const falls = forgiven ? 0 : before.falls;
  if (!ready) {
    const fell = before.readySinceMs !== undefined;
    return {
      damping: {
        reported: false,
        readySinceMs: undefined,
        falls: fell ? falls + 1 : falls,
        lastFallMs: fell ? nowMs : before.lastFallMs,
      },
      againMs: undefined,
    };
  }
  const readySinceMs = before.readySinceMs ?? nowMs;
  const leftMs = readySinceMs + holdDownMs(falls) - nowMs;
  const reported = before.reported || leftMs <= 0;
  return {
    damping: { reported, readySinceMs, falls, lastFallMs: before.lastFallMs },
    againMs: reported ? undefined : leftMs,
  };
}
