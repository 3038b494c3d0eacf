import { type BigIntStats, type Dirent, type FSWatcher, readdirSync, rmSync, statSync, watch } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Logger } from "pino";
import { codeOf, TEMPORARY_PREFIX } from "./atomic-file.ts";

/** A temporary file that is older was left by a writer that is gone. */
const TEMPORARY_MAX_AGE_MS = 60_000;
const MAX_DEPTH = 16;
/** A stream of events may put off a look for this many times the settling time. */
const MAX_SETTLES = 4;
/** When a file that was being written is looked at again. */
const RETRY_MS = 100;
/** A rescan may take this share of the time at most. */
const RESCAN_SHARE = 0.02;

export interface FolderWatchOptions {
  readonly root: string;
  /** Which files are read, by name. Names that begin with a dot never are. */
  readonly accepts: (name: string) => boolean;
  /** Which folders below the root are looked into; all of them when absent. */
  readonly enters?: (path: string) => boolean;
  /**
   * A file is new or may have changed; its path is relative to the root.
   * @returns false to be asked again soon: the file is being written.
   */
  readonly onFile: (path: string, stats: BigIntStats) => boolean;
  readonly onGone: (path: string) => void;
  /** All files of one look have been told. */
  readonly onBatch: () => void;
  /** How long a folder must be quiet before it is looked at. */
  readonly settleMs: number;
  /** The safety net beneath inotify. */
  readonly rescanMs: number;
  /** Removes the temporary files of writers that are gone. */
  readonly tidies: boolean;
  readonly log: Logger;
}

interface Folder {
  /**
   * Device, inode and birth of what `watcher` looks at: a folder may be swapped under its name, and one that is removed and
   * made anew often gets the old inode's number.
   */
  readonly id: string;
  readonly watcher: FSWatcher | undefined;
  readonly files: Map<string, string>;
  readonly folders: Set<string>;
}

function signature({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}

/** The folder of a path below the root; the root is "". */
function parentOf(path: string): string {
  const parent = dirname(path);
  return parent === "." ? "" : parent;
}

/**
 * Tells which files below a folder appear, change and go. inotify says where to look, a slow rescan finds what it
 * missed. Links are followed, so that Kubernetes' way of swapping a mounted ConfigMap (`..data`) is seen. While the
 * root itself cannot be read, everything below it is taken to stand as it was.
 */
export class FolderWatch {
  readonly #options: FolderWatchOptions;
  readonly #folders = new Map<string, Folder>();
  /** Folders and files to look at in the next batch. */
  readonly #pending = new Set<string>();
  #parent: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pendingSinceMs = 0;
  #rescanTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Said once each: what inotify refused, and why the root cannot be read. */
  readonly #complaints = new Set<string>();

  constructor(options: FolderWatchOptions) {
    this.#options = options;
  }

  /**
   * Reads everything once and begins to watch.
   * @throws The file system's error when the root cannot be read.
   */
  start(): void {
    readdirSync(this.#options.root);
    this.#parent = this.#watch(dirname(this.#options.root), (name) => {
      if (name === basename(this.#options.root)) this.#later("");
    });
    this.rescan();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#rescanTimer);
    this.#parent?.close();
    for (const { watcher } of this.#folders.values()) watcher?.close();
  }

  /** Looks at the whole tree now; files whose stat is as before are skipped. */
  rescan(): void {
    const startMs = performance.now();
    this.#visitFolder("");
    this.#options.onBatch();
    const tookMs = performance.now() - startMs;
    clearTimeout(this.#rescanTimer);
    if (this.#closed) return;
    const waitMs = Math.max(this.#options.rescanMs, tookMs / RESCAN_SHARE);
    this.#rescanTimer = setTimeout(() => this.rescan(), waitMs);
    this.#rescanTimer.unref();
  }

  /** Forgets what was seen, so that the next {@link rescan} tells every file again. */
  forget(): void {
    for (const { files } of this.#folders.values()) for (const name of files.keys()) files.set(name, "");
  }

  /** Looks at one file now, however its stat looks. */
  refresh(path: string): void {
    let top = parentOf(path);
    if (!this.#folders.has(top)) {
      // New folders are entered from the top, so that each is watched.
      while (top !== "" && !this.#folders.has(parentOf(top))) top = parentOf(top);
      this.#visitFolder(top);
    } else this.#visitEntry(parentOf(path), basename(path), true);
  }

  #later(path: string, delayMs = this.#options.settleMs): void {
    if (this.#closed) return;
    const now = performance.now();
    if (this.#pending.size === 0) this.#pendingSinceMs = now;
    this.#pending.add(path);
    if (this.#timer !== undefined && now - this.#pendingSinceMs > MAX_SETTLES * this.#options.settleMs) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#flush(), delayMs);
  }

  #flush(): void {
    this.#timer = undefined;
    const paths = [...this.#pending];
    this.#pending.clear();
    for (const path of paths) {
      if (path === "" || this.#folders.has(path)) this.#visitFolder(path);
      else this.refresh(path);
    }
    this.#options.onBatch();
  }

  #watch(path: string, onEvent: (name: string | null) => void): FSWatcher | undefined {
    try {
      const watcher = watch(path, (_, name) => onEvent(name));
      watcher.on("error", (error) => this.#complain(`watching ${path} failed: ${error.message}`));
      return watcher;
    } catch (error) {
      const fix = codeOf(error) === "ENOSPC" ? "; raise sysctl fs.inotify.max_user_watches" : "";
      this.#complain(`cannot watch ${path} (${codeOf(error)}), changes are found by rescans${fix}`);
      return undefined;
    }
  }

  #complain(message: string): void {
    if (this.#complaints.has(message)) return;
    this.#complaints.add(message);
    this.#options.log.warn({ path: this.#options.root }, message);
  }

  #onEvent(folder: string, name: string | null): void {
    // `..data` is a link through which all of a mounted ConfigMap's files change at once.
    if (name === null || name.startsWith("..")) this.#later(folder);
    else if (!name.startsWith(".")) this.#later(join(folder, name));
  }

  /** Identities of the folders on the way to a path: a link may lead back to one of them. */
  #idsAbove(path: string): readonly (string | undefined)[] {
    const above: (string | undefined)[] = [];
    for (let at = path; at !== ""; ) {
      at = parentOf(at);
      above.push(this.#folders.get(at)?.id);
    }
    return above;
  }

  #visitFolder(path: string): void {
    if (path !== "" && this.#options.enters?.(path) === false) return;
    const full = join(this.#options.root, path);
    let entries: Dirent[];
    let id: string;
    try {
      const { dev, ino, birthtimeNs } = statSync(full, { bigint: true });
      id = `${dev}:${ino}:${birthtimeNs}`;
      const above = this.#idsAbove(path);
      if (above.includes(id) || above.length > MAX_DEPTH) return;
      // Watched before it is read: what changes in between comes as an event.
      this.#enterFolder(path, id);
      entries = readdirSync(full, { withFileTypes: true });
    } catch (error) {
      if (path !== "" && (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR")) this.#dropFolder(path);
      else this.#complain(`cannot read ${full} (${codeOf(error)}); what it held stays in force`);
      return;
    }
    const folder = this.#folders.get(path);
    if (folder === undefined) return;
    const names = new Set(entries.map(({ name }) => name));
    for (const name of [...folder.files.keys()]) if (!names.has(name)) this.#dropFile(path, name);
    for (const name of [...folder.folders]) if (!names.has(name)) this.#dropFolder(join(path, name));
    for (const { name } of entries) {
      if (!name.startsWith(".")) this.#visitEntry(path, name, false);
      else if (this.#options.tidies && name.startsWith(TEMPORARY_PREFIX)) this.#tidy(join(full, name));
    }
  }

  #enterFolder(path: string, id: string): void {
    const known = this.#folders.get(path);
    if (known?.id === id && known.watcher !== undefined) return;
    known?.watcher?.close();
    const watcher = this.#watch(join(this.#options.root, path), (name) => this.#onEvent(path, name));
    this.#folders.set(path, {
      id,
      watcher,
      files: known?.files ?? new Map(),
      folders: known?.folders ?? new Set(),
    });
    if (path !== "") this.#folders.get(parentOf(path))?.folders.add(basename(path));
  }

  #visitEntry(parent: string, name: string, force: boolean): void {
    const path = join(parent, name);
    const folder = this.#folders.get(parent);
    let stats: BigIntStats;
    try {
      stats = statSync(join(this.#options.root, path), { bigint: true });
    } catch (error) {
      // Gone, or a link to nothing. Anything else (no permission for the folder) leaves the last state in force.
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") {
        this.#dropFile(parent, name);
        this.#dropFolder(path);
      } else this.#complain(`cannot read ${join(this.#options.root, path)} (${codeOf(error)})`);
      return;
    }
    if (stats.isDirectory()) {
      this.#dropFile(parent, name);
      this.#visitFolder(path);
      return;
    }
    this.#dropFolder(path);
    if (!stats.isFile() || !this.#options.accepts(name)) return;
    const seen = signature(stats);
    if (!force && folder?.files.get(name) === seen) return;
    const taken = this.#options.onFile(path, stats);
    folder?.files.set(name, taken ? seen : "");
    if (!taken) this.#later(path, RETRY_MS);
  }

  #dropFile(parent: string, name: string): void {
    if (this.#folders.get(parent)?.files.delete(name)) this.#options.onGone(join(parent, name));
  }

  #dropFolder(path: string): void {
    const folder = this.#folders.get(path);
    if (folder === undefined) return;
    for (const name of [...folder.folders]) this.#dropFolder(join(path, name));
    for (const name of [...folder.files.keys()]) this.#dropFile(path, name);
    folder.watcher?.close();
    this.#folders.delete(path);
    this.#folders.get(parentOf(path))?.folders.delete(basename(path));
  }

  #tidy(path: string): void {
    try {
      const ageMs = Date.now() - Number(statSync(path, { bigint: true }).mtimeMs);
      if (ageMs > TEMPORARY_MAX_AGE_MS) rmSync(path, { force: true });
    } catch (error) {
      if (codeOf(error) !== "ENOENT") this.#complain(`cannot remove the leftover ${path} (${codeOf(error)})`);
    }
  }
}
