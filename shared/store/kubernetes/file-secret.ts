import { readFileSync } from "node:fs";
import type { Clock } from "../../process/clock.ts";
import { ApiConfigError } from "./api-config.ts";

/** kubelet replaces a projected token an hour or more before it expires; a file is looked at this often. */
const FRESH_MS = 10_000;

/**
 * The trimmed content of a file that somebody else replaces from time to time. While the file cannot be read the last
 * content counts.
 * @throws ApiConfigError when it was never read.
 */
export function fileSecret(path: string, clock: Clock): () => string {
  let content: string | undefined;
  let readMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = clock.nowMs();
    if (content !== undefined && nowMs - readMs < FRESH_MS && nowMs >= readMs) return content;
    try {
      content = readFileSync(path, "utf8").trim();
      readMs = nowMs;
    } catch (error) {
      if (content === undefined) throw new ApiConfigError(`cannot read ${path}`, { cause: error });
    }
    return content;
  };
}
