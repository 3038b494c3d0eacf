import { readFileSync, statSync } from "node:fs";
import { codeOf } from "#shared/store/atomic-file.ts";

/** Which network namespace a path leads to: two paths with one identity are the same namespace. */
export type NetnsIdentity =
  | { readonly kind: "netns"; readonly id: string }
  /** There is nothing (any more). */
  | { readonly kind: "absent"; readonly problem: string }
  | { readonly kind: "refused"; readonly problem: string };

const OWN = "/proc/thread-self/ns/net";
const MAX_PATH_LENGTH = 4096;

/** The identity of the calling thread's namespace. */
export function ownNetns(): string {
  const { dev, ino } = statSync(OWN, { bigint: true });
  return `${dev}:${ino}`;
}

/**
 * Looks at a path without opening it (a FIFO would block). The agent's own namespace is refused: it is the host's, or
 * that of a pod on the host's network.
 */
export function netnsIdentity(path: string): NetnsIdentity {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    const own = statSync(OWN, { bigint: true });
    if (dev !== own.dev) return { kind: "refused", problem: `${path} is not a network namespace` };
    if (ino === own.ino) {
      return { kind: "refused", problem: `${path} is the node agent's own network namespace, not a pod's` };
    }
    return { kind: "netns", id: `${dev}:${ino}` };
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return { kind: "absent", problem: `${path} does not exist` };
    return { kind: "refused", problem: `cannot look at ${path} (${code || String(error)})` };
  }
}

/** The path in a file of the folder of pods' namespaces. @throws RangeError that says what is wrong with the content. */
export function readNetnsPath(file: string): string {
  const stats = statSync(file);
  if (!stats.isFile()) throw new RangeError("is not a file");
  if (stats.size > MAX_PATH_LENGTH)
    throw new RangeError(`has ${stats.size} bytes; a path has ${MAX_PATH_LENGTH} at most`);
  const path = readFileSync(file, "utf8").trim();
  if (!/^\/[^\0\n]+$/.test(path)) throw new RangeError("does not hold one absolute path of a network namespace");
  return path;
}
