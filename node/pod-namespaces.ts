import { type FSWatcher, readdirSync, watch } from "node:fs";
import { join } from "node:path";
import type { Log } from "#shared/process/log.ts";
import { codeOf } from "#shared/store/atomic-file.ts";
import { readNetnsPath } from "./netns-identity.ts";

/** Where the network namespaces of this node's pods are. Pods are named `namespace/name`. */
export interface PodNamespaces {
  /** The pods of this node, the same object while they are; undefined: not known yet. */
  pods(): { has(pod: string): boolean } | undefined;
  /** Whose network namespaces are of interest, from now on. */
  want(pods: ReadonlySet<string>): void;
  /** Paths of their network namespaces as far as they are known, the same object while they are; others may be among them. */
  list(): ReadonlyMap<string, string>;
  /** Whether all that is wanted has been looked for. */
  settled(): boolean;
  /** Entries that cannot be used, by their name, for people. */
  problems(): ReadonlyMap<string, string>;
  close(): void;
}

export interface FolderNamespacesOptions {
  /** Folder of files `<namespace>_<name>`, each with the path of a network namespace. */
  readonly folder: string;
  readonly log: Log;
  /** Something in the folder may have changed. */
  readonly onChange: () => void;
}

/** Changes that inotify did not tell are found after this time. */
const RESCAN_MS = 2_000;
const FILE_NAME = /^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)_([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)$/;

/** Pods' namespaces from a folder that somebody else keeps. While it cannot be read, what was read last stands. */
export class FolderNamespaces implements PodNamespaces {
  readonly #options: FolderNamespacesOptions;
  #watcher: FSWatcher | undefined;
  #stale = true;
  #readAtMs = 0;
  #paths: ReadonlyMap<string, string> = new Map();
  #problems: ReadonlyMap<string, string> = new Map();
  #complaint = "";

  constructor(options: FolderNamespacesOptions) {
    this.#options = options;
  }

  pods(): ReadonlyMap<string, string> {
    return this.list();
  }

  /** A folder costs the same however many of its files are of interest. */
  want(): void {}

  settled(): boolean {
    return true;
  }

  list(): ReadonlyMap<string, string> {
    if (this.#stale || performance.now() - this.#readAtMs >= RESCAN_MS) this.#read();
    return this.#paths;
  }

  problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #read(): void {
    const { folder } = this.#options;
    this.#readAtMs = performance.now();
    try {
      // Watched before it is read: what changes in between comes as an event.
      this.#watcher ??= this.#watch();
      const names = readdirSync(folder).filter((name) => !name.startsWith("."));
      this.#stale = false;
      this.#readFiles(names);
      this.#complaint = "";
    } catch (error) {
      // A folder that is made anew has another inode.
      this.close();
      const complaint = `cannot read the pods' network namespaces in ${folder} (${codeOf(error) || String(error)})`;
      if (complaint !== this.#complaint) this.#options.log.warn({ err: error }, complaint);
      this.#complaint = complaint;
    }
  }

  #watch(): FSWatcher {
    const watcher = watch(this.#options.folder, (event, name) => {
      // The folder itself was moved or removed.
      if (event === "rename" && name === null) this.close();
      this.#stale = true;
      this.#options.onChange();
    });
    watcher.on("error", () => this.close());
    return watcher;
  }

  #readFiles(names: readonly string[]): void {
    const paths = new Map<string, string>();
    const problems = new Map<string, string>();
    for (const name of names) {
      const [, namespace, pod] = FILE_NAME.exec(name) ?? [];
      if (namespace === undefined || pod === undefined) {
        problems.set(name, "the file's name is not NAMESPACE_NAME of a pod");
        continue;
      }
      try {
        paths.set(`${namespace}/${pod}`, readNetnsPath(join(this.#options.folder, name)));
      } catch (error) {
        // Gone since it was listed, or a link to nothing.
        const reason = codeOf(error) === "ENOENT" ? "leads to nothing" : error instanceof Error ? error.message : "";
        problems.set(name, `the file ${reason}`);
      }
    }
    this.#paths = paths;
    this.#problems = problems;
  }
}
