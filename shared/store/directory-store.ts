import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { type AnyObject, describeRef, type Kind, type ObjectOf, type ObjectRef } from "../api/kinds.ts";
import { unavailable } from "./atomic-file.ts";
import { FolderWatch } from "./folder-watch.ts";
import { isManifestName, readManifest } from "./manifest-folder.ts";
import { ManifestSet } from "./manifest-set.ts";
import { statedOf } from "./object-content.ts";
import { ObjectIndex, refOf } from "./object-index.ts";
import {
  type Interest,
  type ObjectStore,
  type ObjectView,
  type StatusOf,
  StoreConflictError,
  StoreNotFoundError,
  type WriteOptions,
} from "./object-store.ts";
import { type Problem, problemText } from "./problem.ts";
import { generationOf, versionOf } from "./state-files.ts";
import { StateFolder } from "./state-folder.ts";
import { withStatusLayers } from "./status-merge.ts";
import { type Change, WatchHub } from "./watch-hub.ts";

/** Manifests are edited in place, too: a file is read when it has been quiet for so long. */
const MANIFEST_SETTLE_MS = 15;
/** State files appear whole by rename; this only gathers what comes together. */
const STATE_SETTLE_MS = 3;
const RESCAN_MS = 2000;
/** An object must have been gone for one to two of these before what was said of it is removed. */
const SWEEP_MS = 5000;

export interface DirectoryStoreOptions {
  /** The folder of the user's manifests; never written. */
  readonly manifests: string;
  /** The folder of generated objects and statuses, shared by all processes; made when it is missing. */
  readonly state: string;
  readonly log: Logger;
  /** Closes the store. */
  readonly signal: AbortSignal;
  /** One of the processes, the controller, clears away what was said of manifests' objects that are gone. */
  readonly sweeps?: boolean;
  /** Is told of each problem of a manifest once, when it appears. */
  readonly onProblem?: (problem: Problem) => void;
}

/**
 * ObjectStore over two folders of one machine. Any number of processes use them at once, without a server: a change is
 * a file that is renamed into place, and inotify tells the others.
 *
 * A broken manifest is reported, and its objects stay in force as this process last read them correctly. A process that
 * starts while a manifest is broken has no such version.
 */
export class DirectoryStore implements ObjectStore {
  readonly #options: DirectoryStoreOptions;
  readonly #log: Logger;
  readonly #manifests = new ManifestSet();
  readonly #state: StateFolder;
  readonly #merged = new ObjectIndex();
  readonly #hub = new WatchHub();
  /** Kinds that are kept in memory: those that somebody watches or writes. */
  readonly #kinds = new Set<Kind>();
  #watches: { readonly manifests: FolderWatch; readonly state: FolderWatch } | undefined;
  readonly #dirty = new Map<string, ObjectRef>();
  #manifestsChanged = false;
  #problems: readonly Problem[] = [];
  readonly #reported = new Set<string>();
  readonly #foreignKinds = new Set<string>();
  readonly #absent = new Set<string>();

  constructor(options: DirectoryStoreOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#state = new StateFolder(options.state, options.log);
    const sweep = options.sweeps ? setInterval(() => this.#sweep(), SWEEP_MS) : undefined;
    sweep?.unref();
    const close = (): void => {
      clearInterval(sweep);
      this.#closeWatches();
    };
    if (options.signal.aborted) close();
    else options.signal.addEventListener("abort", close, { once: true });
  }

  /** What is wrong with the manifests now. */
  problems(): readonly Problem[] {
    return this.#problems;
  }

  async watch(
    interests: readonly Interest[],
    onChange: (ref: ObjectRef) => void,
    signal: AbortSignal,
  ): Promise<ObjectView> {
    this.#keep(interests.map(({ kind }) => kind));
    return this.#hub.open(interests, this.#merged.all(), onChange, signal);
  }

  async apply<K extends Kind>(object: ObjectOf<K> & { readonly kind: K }, options: WriteOptions): Promise<void> {
    const ref = refOf(object);
    this.#keep([ref.kind]);
    const known = this.#state.generated(ref);
    const owner = this.#manifests.get(ref)?.file ?? known?.fieldManager ?? options.fieldManager;
    if (owner !== options.fieldManager) throw new StoreConflictError(`${describeRef(ref)} belongs to ${owner}`);
    const next = this.#state.prepare(object, known, options.fieldManager);
    if (known !== undefined && isDeepStrictEqual(statedOf(known.object), statedOf(next.object))) return;
    this.#look([this.#state.write(ref, next)]);
  }

  async delete(ref: ObjectRef): Promise<void> {
    this.#keep([ref.kind]);
    if (this.#manifests.get(ref) !== undefined) {
      throw new StoreConflictError(`${describeRef(ref)} is a manifest's: remove it there`);
    }
    this.#look(this.#state.remove(ref));
  }

  async applyStatus(ref: ObjectRef, status: StatusOf, options: WriteOptions): Promise<void> {
    this.#keep([ref.kind]);
    const object = this.#merged.get(ref.kind, ref.namespace, ref.name);
    if (object === undefined) throw new StoreNotFoundError(`${describeRef(ref)} is gone`);
    withStatusLayers(object, new Map([[options.fieldManager, status]]), (_, reason) => {
      throw new TypeError(`this status does not fit ${describeRef(ref)}: ${reason}`);
    });
    this.#look(this.#state.writeStatus(ref, object.metadata.uid, options.fieldManager, status));
  }

  /** Makes sure that objects of these kinds are in memory. */
  #keep(kinds: readonly Kind[]): void {
    this.#options.signal.throwIfAborted();
    const before = this.#kinds.size;
    for (const kind of kinds) this.#kinds.add(kind);
    if (this.#watches === undefined) this.#openWatches();
    else if (this.#kinds.size > before) {
      for (const folder of [this.#watches.state, this.#watches.manifests]) {
        folder.forget();
        folder.rescan();
      }
    }
  }

  #openWatches(): void {
    const { manifests, state } = this.#options;
    const common = { onBatch: () => this.#settle(), rescanMs: RESCAN_MS, log: this.#log };
    this.#watches = {
      state: new FolderWatch({
        ...common,
        root: state,
        accepts: (name) => name.endsWith(".json"),
        enters: (path) => /^(objects|status)(\/|$)/.test(path),
        onFile: (path) => {
          this.#touch(this.#state.load(path, (kind) => this.#kinds.has(kind)));
          return true;
        },
        onGone: (path) => this.#touch(this.#state.forget(path)),
        settleMs: STATE_SETTLE_MS,
        tidies: true,
      }),
      manifests: new FolderWatch({
        ...common,
        root: manifests,
        accepts: isManifestName,
        onFile: (path, stats) => {
          const file = join(manifests, path);
          const parsed = readManifest(file, stats, this.#manifests.holds(file), (kind) => this.#kinds.has(kind));
          if (parsed === undefined) return false;
          for (const { apiVersion, kind } of parsed.foreign) this.#noteForeign(`${apiVersion} ${kind}`, file);
          this.#touch(this.#manifests.put(parsed, Number(stats.ctimeMs)));
          this.#manifestsChanged = true;
          return true;
        },
        onGone: (path) => {
          this.#touch(this.#manifests.remove(join(manifests, path)));
          this.#manifestsChanged = true;
        },
        settleMs: MANIFEST_SETTLE_MS,
        tidies: false,
      }),
    };
    let root = state;
    try {
      mkdirSync(state, { recursive: true });
      this.#watches.state.start();
      root = manifests;
      this.#watches.manifests.start();
    } catch (error) {
      this.#closeWatches();
      throw unavailable("read", root, error);
    }
  }

  #closeWatches(): void {
    this.#watches?.state.close();
    this.#watches?.manifests.close();
    this.#watches = undefined;
  }

  /** Takes in files of the state folder that this process has just written or removed. */
  #look(paths: readonly string[]): void {
    for (const path of paths) this.#watches?.state.refresh(path);
    this.#settle();
  }

  #touch(refs: readonly ObjectRef[]): void {
    for (const ref of refs) this.#dirty.set(describeRef(ref), ref);
  }

  /** Brings the views up to date with what was touched. */
  #settle(): void {
    const changes: Change[] = [];
    for (const ref of this.#dirty.values()) {
      const before = this.#merged.get(ref.kind, ref.namespace, ref.name);
      const object = this.#merge(ref);
      if (before?.metadata.resourceVersion === object?.metadata.resourceVersion) continue;
      if (object === undefined) this.#merged.delete(ref);
      else this.#merged.set(object.kind, object);
      changes.push({ ref, object });
    }
    this.#dirty.clear();
    if (this.#manifestsChanged) this.#reportProblems();
    this.#manifestsChanged = false;
    this.#hub.update(changes);
  }

  /** The object as everybody sees it: manifest or generated object, identity, and the statuses that are about it. */
  #merge(ref: ObjectRef): AnyObject | undefined {
    const manifest = this.#manifests.get(ref);
    const source = manifest ?? this.#state.generated(ref);
    if (source === undefined) return undefined;
    const identity = manifest === undefined ? source.object.metadata : this.#state.identity(ref, manifest.placedMs);
    const { layers, versions } = this.#state.statusOf(ref, identity.uid);
    const merged: AnyObject = withStatusLayers(source.object, layers, (fieldManager, reason) =>
      this.#log.warn({ object: describeRef(ref), fieldManager, reason }, "a status does not fit its kind; left out"),
    );
    const metadata = Object.assign({}, merged.metadata, {
      uid: identity.uid,
      creationTimestamp: identity.creationTimestamp,
      generation: manifest === undefined ? merged.metadata.generation : generationOf(manifest.specHash),
      resourceVersion: versionOf([source.contentHash, identity.uid, identity.creationTimestamp ?? "", ...versions]),
    });
    return Object.assign({}, merged, { metadata });
  }

  #reportProblems(): void {
    this.#problems = this.#manifests.problems();
    const texts = new Set(this.#problems.map(problemText));
    for (const text of this.#reported) {
      if (texts.has(text)) continue;
      this.#reported.delete(text);
      this.#log.info({ problem: text }, "manifest problem is gone");
    }
    for (const problem of this.#problems) {
      const text = problemText(problem);
      if (this.#reported.has(text)) continue;
      this.#reported.add(text);
      this.#log.warn({ problem }, text);
      this.#options.onProblem?.(problem);
    }
  }

  #noteForeign(kind: string, file: string): void {
    if (this.#foreignKinds.has(kind)) return;
    this.#foreignKinds.add(kind);
    this.#log.info({ kind, file }, "objects of this kind are not read here");
  }

  #sweep(): void {
    if (this.#watches === undefined) return;
    const stale = new Map(this.#state.described().map((ref) => [describeRef(ref), ref]));
    for (const [name, ref] of stale) {
      if (this.#merged.get(ref.kind, ref.namespace, ref.name) !== undefined) stale.delete(name);
    }
    for (const name of this.#absent) if (!stale.has(name)) this.#absent.delete(name);
    for (const [name, ref] of stale) {
      if (!this.#absent.has(name)) this.#absent.add(name);
      else this.#trySweep(ref);
    }
  }

  #trySweep(ref: ObjectRef): void {
    try {
      this.#look(this.#state.remove(ref));
    } catch (error) {
      this.#log.warn({ error, object: describeRef(ref) }, "cannot remove what was said of an object that is gone");
    }
  }
}
