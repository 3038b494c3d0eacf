import { randomUUID } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { StoreUnavailableError } from "./object-store.ts";

/*
 * Files that appear whole or not at all: written beside their place under a hidden name, then renamed. They are not
 * synced to the disk: all of them can be made again, and a file that a power cut left empty is reported and rewritten.
 */

/** Hidden names that a killed writer may leave behind begin so. */
export const TEMPORARY_PREFIX = ".tmp-";

const FIXES: Readonly<Record<string, string>> = {
  ENOSPC: "free space on that file system",
  EDQUOT: "raise the quota of this user",
  EROFS: "mount that file system writable, or choose another state folder",
  EACCES: "give this user access to it",
  EPERM: "give this user access to it",
  ENOENT: "create the folder",
  ENOTDIR: "remove the file that stands where a folder is needed",
  EMFILE: "raise the limit of open files (ulimit -n)",
  ENFILE: "raise the limit of open files (sysctl fs.file-max)",
  ENAMETOOLONG: "choose a shorter name for the object",
};

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** The error for a path that cannot be used now, with what would help. */
export function unavailable(what: string, path: string, error: unknown): StoreUnavailableError {
  const code = codeOf(error);
  const reason = code === "" ? String(error) : code;
  const fix = FIXES[code];
  return new StoreUnavailableError(`cannot ${what} ${path}: ${reason}${fix === undefined ? "" : `; ${fix}`}`, {
    cause: error,
  });
}

/** As mkdir -p; Node's own recursive one says ENOENT for a read-only file system. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if (codeOf(error) === "EEXIST") return;
    if (codeOf(error) !== "ENOENT" || dirname(path) === path) throw error;
    makeFolder(dirname(path));
    makeFolder(path);
  }
}

function withTemporary(path: string, text: string, place: (temporary: string) => void): void {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${randomUUID()}`);
  try {
    makeFolder(dirname(path));
    writeFileSync(temporary, text, { flag: "wx" });
    place(temporary);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Makes `path` hold `text`; a reader sees the old content or the new.
 * @throws StoreUnavailableError
 */
export function writeWhole(path: string, text: string): void {
  try {
    withTemporary(path, text, (temporary) => renameSync(temporary, path));
  } catch (error) {
    throw unavailable("write", path, error);
  }
}

/**
 * Makes `path` hold `text` unless it exists; of several processes that try at once one wins.
 * @returns What the file holds.
 * @throws StoreUnavailableError
 */
export function createOnce(path: string, text: string): string {
  try {
    withTemporary(path, text, (temporary) => {
      linkSync(temporary, path);
      rmSync(temporary);
    });
    return text;
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw unavailable("write", path, error);
  }
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw unavailable("read", path, error);
  }
}

/**
 * Removes a file or a folder; removing what is not there succeeds.
 * @throws StoreUnavailableError
 */
export function removePath(path: string): void {
  try {
    rmSync(path, { force: true, recursive: true });
  } catch (error) {
    throw unavailable("remove", path, error);
  }
}
