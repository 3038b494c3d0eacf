import { hash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { z } from "zod";
import { type AnyObject, describeRef, type Kind, type ObjectRef } from "../api/kinds.ts";
import { codeOf, createOnce, removePath, writeWhole } from "./atomic-file.ts";
import { parseObject } from "./manifest-kind.ts";
import { specOf } from "./object-content.ts";
import { refOf } from "./object-index.ts";
import { type StatusOf, StoreUnavailableError } from "./object-store.ts";
import {
  type Identity,
  identityPath,
  identitySchema,
  objectPath,
  readStatePath,
  type StatusFile,
  statusFileSchema,
  statusFolder,
  statusPath,
} from "./state-files.ts";

/** An object that a program generated. */
export interface Generated {
  readonly object: AnyObject;
  readonly fieldManager: string;
  readonly contentHash: string;
}

/** What a file of an object holds beyond the object. */
const managedSchema = z.looseObject({
  metadata: z.looseObject({ managedFields: z.array(z.looseObject({ manager: z.string() })).length(1) }),
});

interface Layer extends StatusFile {
  readonly contentHash: string;
}

function seconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** What the state folder holds, as last seen, and the writing of it. Paths are relative to the folder. */
export class StateFolder {
  readonly #root: string;
  readonly #log: Logger;
  readonly #generated = new Map<string, Generated>();
  readonly #identities = new Map<string, Identity>();
  readonly #layers = new Map<string, { readonly ref: ObjectRef; readonly byManager: Map<string, Layer> }>();
  #saidReadOnly = false;

  constructor(root: string, log: Logger) {
    this.#root = root;
    this.#log = log;
  }

  generated(ref: ObjectRef): Generated | undefined {
    return this.#generated.get(describeRef(ref));
  }

  /** The layers that speak of the object of this uid, and what their versions are. */
  statusOf(ref: ObjectRef, uid: string): { layers: ReadonlyMap<string, StatusOf>; versions: readonly string[] } {
    const layers = new Map<string, StatusOf>();
    const versions: string[] = [];
    const byManager = this.#layers.get(describeRef(ref))?.byManager ?? [];
    for (const [fieldManager, layer] of [...byManager].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (layer.uid !== uid) continue;
      layers.set(fieldManager, layer.status);
      versions.push(`${fieldManager}=${layer.contentHash}`);
    }
    return { layers, versions };
  }

  /** Objects that have an identity or a status. */
  described(): readonly ObjectRef[] {
    return [...this.#layers.values()].map(({ ref }) => ref);
  }

  /**
   * The identity of a manifest's object: whichever process sees the object first writes it down. While the folder cannot
   * be written, every process derives the same one.
   */
  identity(ref: ObjectRef, placedMs: number): Identity {
    const name = describeRef(ref);
    const known = this.#identities.get(name);
    if (known !== undefined) return known;
    const fresh = { uid: randomUUID(), creationTimestamp: seconds(placedMs) };
    const path = join(this.#root, identityPath(ref));
    try {
      const written = identitySchema.safeParse(parseJson(createOnce(path, JSON.stringify(fresh))));
      if (!written.success) writeWhole(path, JSON.stringify(fresh));
      const identity = written.data ?? fresh;
      this.#identities.set(name, identity);
      return identity;
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      if (!this.#saidReadOnly) this.#log.warn({ error }, "objects' ages are not kept: the state folder refuses them");
      this.#saidReadOnly = true;
      return { ...fresh, uid: `manifest-${hash("sha1", name)}` };
    }
  }

  /** Takes in a file. @returns The objects to look at again. */
  load(path: string, wants: (kind: Kind) => boolean): readonly ObjectRef[] {
    const place = readStatePath(path);
    if (place === undefined || !wants(place.ref.kind)) return [];
    const name = describeRef(place.ref);
    let text: string;
    try {
      text = readFileSync(join(this.#root, path), "utf8");
    } catch (error) {
      if (codeOf(error) !== "ENOENT") this.#log.warn({ path, error }, "a file of the state folder cannot be read");
      return [];
    }
    const value = parseJson(text);
    const contentHash = hash("sha1", text);
    const refuse = (error: z.ZodError): readonly ObjectRef[] => {
      this.#log.warn({ path, reason: z.prettifyError(error) }, "a file of the state folder is broken; left out");
      return [];
    };
    if (place.type === "object") {
      const managed = managedSchema.safeParse(value);
      const parsed = parseObject(place.ref.kind, value);
      if (!parsed.success || !managed.success) return refuse(parsed.error ?? managed.error ?? new z.ZodError([]));
      if (describeRef(refOf(parsed.data)) !== name) {
        this.#log.warn(
          { path, object: describeRef(refOf(parsed.data)) },
          "a file of the state folder has a wrong name",
        );
        return [];
      }
      const fieldManager = managed.data.metadata.managedFields[0]?.manager ?? "";
      this.#generated.set(name, { object: parsed.data, fieldManager, contentHash });
      return [place.ref];
    }
    if (place.type === "identity") {
      const parsed = identitySchema.safeParse(value);
      if (!parsed.success) return refuse(parsed.error);
      this.#identities.set(name, parsed.data);
      this.#layersOf(place.ref);
      return [place.ref];
    }
    const parsed = statusFileSchema.safeParse(value);
    if (!parsed.success) return refuse(parsed.error);
    this.#layersOf(place.ref).set(place.fieldManager, { ...parsed.data, contentHash });
    return [place.ref];
  }

  /** A file is gone. @returns The objects to look at again. */
  forget(path: string): readonly ObjectRef[] {
    const place = readStatePath(path);
    if (place === undefined) return [];
    const name = describeRef(place.ref);
    if (place.type === "object") this.#generated.delete(name);
    else if (place.type === "identity") this.#identities.delete(name);
    else this.#layers.get(name)?.byManager.delete(place.fieldManager);
    if (!this.#identities.has(name) && this.#layers.get(name)?.byManager.size === 0) this.#layers.delete(name);
    return [place.ref];
  }

  /**
   * A generated object as its file will hold it.
   * @throws TypeError when the object's parsed form is not what its manifest would say.
   */
  prepare(object: AnyObject, known: Generated | undefined, fieldManager: string): { object: AnyObject; text: string } {
    const { name, namespace, labels, annotations, ownerReferences } = object.metadata;
    const before = known?.object;
    const changed = before !== undefined && !isDeepStrictEqual(specOf(before), specOf(object));
    const metadata = {
      name,
      namespace,
      labels,
      annotations,
      ownerReferences,
      uid: before?.metadata.uid ?? randomUUID(),
      creationTimestamp: before?.metadata.creationTimestamp ?? seconds(Date.now()),
      generation: (before?.metadata.generation ?? 1) + (changed ? 1 : 0),
      managedFields: [{ manager: fieldManager }],
    };
    const text = JSON.stringify({ ...object, metadata });
    const parsed = parseObject(object.kind, JSON.parse(text));
    if (parsed.success) return { object: parsed.data, text };
    const reason = z.prettifyError(parsed.error);
    throw new TypeError(`${describeRef(refOf(object))} cannot be stored: ${reason}`, { cause: parsed.error });
  }

  /** @returns The path to look at. @throws StoreUnavailableError */
  write(ref: ObjectRef, { text }: { readonly text: string }): string {
    const path = objectPath(ref);
    writeWhole(join(this.#root, path), text);
    return path;
  }

  /** Removes a generated object, then what was said of it. @returns The paths to look at. @throws StoreUnavailableError */
  remove(ref: ObjectRef): readonly string[] {
    const paths = [objectPath(ref), statusFolder(ref)];
    for (const path of paths) removePath(join(this.#root, path));
    return paths;
  }

  /** @returns The paths to look at, none when nothing changed. @throws StoreUnavailableError */
  writeStatus(ref: ObjectRef, uid: string, fieldManager: string, status: StatusOf): readonly string[] {
    const path = statusPath(ref, fieldManager);
    const known = this.#layers.get(describeRef(ref))?.byManager.get(fieldManager);
    if (Object.keys(status).length === 0) {
      if (known === undefined) return [];
      removePath(join(this.#root, path));
      return [path];
    }
    const text = JSON.stringify({ uid, status });
    if (known?.contentHash === hash("sha1", text)) return [];
    writeWhole(join(this.#root, path), text);
    return [path];
  }

  #layersOf(ref: ObjectRef): Map<string, Layer> {
    const name = describeRef(ref);
    const entry = this.#layers.get(name) ?? { ref, byManager: new Map<string, Layer>() };
    this.#layers.set(name, entry);
    return entry.byManager;
  }
}
