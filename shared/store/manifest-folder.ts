import { type BigIntStats, readFileSync } from "node:fs";
import type { Kind } from "../api/kinds.ts";
import { codeOf } from "./atomic-file.ts";
import {
  MAX_MANIFEST_BYTES,
  type ManifestFile,
  type ManifestOptions,
  parseManifest,
  tooLarge,
  unreadableFile,
} from "./manifest-file.ts";

/** An editor that writes in place empties the file first: an empty one is believed after this. */
const EMPTY_GRACE_MS = 500;

export function isManifestName(name: string): boolean {
  return /\.(ya?ml|json)$/.test(name);
}

/** The manifest of bytes: as {@link parseManifest}, text that is not UTF-8 is a problem. */
export function parseManifestBytes(file: string, bytes: Uint8Array, options: ManifestOptions): ManifestFile {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return unreadableFile(file, "is not UTF-8 text", "save it as UTF-8");
  }
  return parseManifest(file, text, options);
}

/**
 * Reads a manifest file of the watched folder.
 * @param inForce Whether objects of the file are in force.
 * @returns undefined when it is being written: look again soon.
 */
export function readManifest(
  file: string,
  stats: BigIntStats,
  inForce: boolean,
  wants: (kind: Kind) => boolean,
): ManifestFile | undefined {
  if (stats.size === 0n && inForce && Date.now() - Number(stats.mtimeMs) < EMPTY_GRACE_MS) return undefined;
  if (stats.size > BigInt(MAX_MANIFEST_BYTES)) return tooLarge(file, Number(stats.size));
  try {
    return parseManifestBytes(file, readFileSync(file), { wants });
  } catch (error) {
    const code = codeOf(error);
    if (code === "") throw error;
    if (code === "ENOENT") return undefined;
    return unreadableFile(
      file,
      `cannot be read: ${code}`,
      code === "EACCES" ? "give this user access to it" : undefined,
    );
  }
}
