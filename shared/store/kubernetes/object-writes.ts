import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type AnyObject, describeRef, type ObjectRef } from "../../api/kinds.ts";
import { CONTROLLER_NAME } from "../../api/names.ts";
import { statedOf } from "../object-content.ts";
import { refOf } from "../object-index.ts";
import {
  type StatusOf,
  StoreConflictError,
  StoreNotFoundError,
  StoreRefusedError,
  StoreUnavailableError,
} from "../object-store.ts";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-error.ts";
import { apiFieldManager, FIELD_MANAGER_PREFIX } from "./field-manager.ts";
import { objectPath } from "./paths.ts";
import { ObjectReader, type ReadObject } from "./raw-object.ts";
import type { ServedKind, ServedKinds } from "./served-kinds.ts";
import type { KnownObject } from "./watch-session.ts";

const APPLY = "application/apply-patch+yaml";
/** How often a status whose list is replaced whole is merged anew when others write it at the same time. */
const MERGE_ATTEMPTS = 8;

const parentsSchema = z.looseObject({
  metadata: z.looseObject({ uid: z.string(), resourceVersion: z.string() }),
  status: z
    .looseObject({ parents: z.array(z.looseObject({ controllerName: z.string() })).default([]) })
    .default({ parents: [] }),
});

const ownParentsSchema = z.array(z.looseObject({ controllerName: z.string() }));

/** What the watches know. */
export interface Known {
  find(ref: ObjectRef): KnownObject | undefined;
  object(ref: ObjectRef): AnyObject | undefined;
}

/** Writes objects by server-side apply. */
export class ObjectWrites {
  readonly #client: ApiClient;
  readonly #served: ServedKinds;
  readonly #known: Known;
  readonly #signal: AbortSignal;

  constructor(client: ApiClient, served: ServedKinds, known: Known, signal: AbortSignal) {
    this.#client = client;
    this.#served = served;
    this.#known = known;
    this.#signal = signal;
  }

  async apply(object: AnyObject, fieldManager: string): Promise<void> {
    const ref = refOf(object);
    await this.#mapped(ref, async (served) => {
      const manager = apiFieldManager(fieldManager);
      const known = this.#known.find(ref);
      const owner = known ?? (await this.#read(served, ref));
      if (owner !== undefined && owner.generator !== manager) {
        throw new StoreConflictError(`${describeRef(ref)} belongs to ${owner.generator ?? "somebody else"}`);
      }
      const seen = known && this.#known.object(ref);
      if (seen !== undefined && isDeepStrictEqual(statedOf(seen), statedOf(object))) return;
      const { labels, annotations, ownerReferences, name, namespace } = object.metadata;
      await this.#patch(served, ref, manager, undefined, {
        ...object,
        apiVersion: served.apiVersion,
        metadata: {
          name,
          ...(namespace === "" ? {} : { namespace }),
          labels,
          annotations,
          ownerReferences,
          ...(owner === undefined ? {} : { uid: owner.uid }),
        },
      });
    });
  }

  async delete(ref: ObjectRef): Promise<void> {
    try {
      await this.#mapped(ref, async (served) => {
        const known = this.#known.find(ref) ?? (await this.#read(served, ref));
        if (known === undefined) return;
        if (known.generator?.startsWith(FIELD_MANAGER_PREFIX) !== true) {
          throw new StoreConflictError(`${describeRef(ref)} belongs to somebody else`);
        }
        const preconditions = { uid: known.uid };
        const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions };
        await this.#client.ask({ method: "DELETE", path: objectPath(served, ref), body, signal: this.#signal });
      });
    } catch (error) {
      // Another object has taken the place of the one that was meant: that one is gone.
      if (error instanceof StoreNotFoundError) return;
      throw error;
    }
  }

  async applyStatus(ref: ObjectRef, status: StatusOf, fieldManager: string): Promise<void> {
    await this.#mapped(ref, async (served) => {
      const manager = apiFieldManager(fieldManager);
      if (Array.isArray(status.parents)) return await this.#applyParents(served, ref, status, manager);
      const uid = this.#known.find(ref)?.uid;
      await this.#patch(served, ref, manager, "status", {
        apiVersion: served.apiVersion,
        kind: ref.kind,
        metadata: { ...nameOf(ref), ...(uid === undefined ? {} : { uid }) },
        status,
      });
    });
  }

  /**
   * A route's `parents` is a list that the API server replaces whole, although every controller has entries of its own:
   * the others' are read and written back, and the write holds only if nothing came between.
   */
  async #applyParents(served: ServedKind, ref: ObjectRef, status: StatusOf, manager: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#client.ask({ method: "GET", path: objectPath(served, ref), signal: this.#signal });
      const { metadata, status: live } = parentsSchema.parse(answer);
      const others = live.parents.filter(({ controllerName }) => controllerName !== CONTROLLER_NAME);
      // Whoever states the whole list may have seen an older one.
      const own = ownParentsSchema.parse(status.parents).filter((entry) => entry.controllerName === CONTROLLER_NAME);
      const { uid, resourceVersion } = metadata;
      try {
        return await this.#patch(served, ref, manager, "status", {
          apiVersion: served.apiVersion,
          kind: ref.kind,
          metadata: { ...nameOf(ref), uid, resourceVersion },
          status: { ...status, parents: [...others, ...own] },
        });
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== 409 || attempt === MERGE_ATTEMPTS) throw error;
      }
    }
  }

  async #patch(
    served: ServedKind,
    ref: ObjectRef,
    manager: string,
    subresource: "status" | undefined,
    body: object,
  ): Promise<void> {
    const query = new URLSearchParams({ fieldManager: manager, force: "true" });
    await this.#client.ask({
      method: "PATCH",
      path: `${objectPath(served, ref, subresource)}?${query}`,
      contentType: APPLY,
      body,
      signal: this.#signal,
    });
  }

  async #read(served: ServedKind, ref: ObjectRef): Promise<ReadObject | undefined> {
    try {
      const answer = await this.#client.ask({ method: "GET", path: objectPath(served, ref), signal: this.#signal });
      return new ObjectReader(ref.kind, served.apiVersion).read(answer);
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return undefined;
      throw error;
    }
  }

  /** Runs a write; its errors as the store's. */
  async #mapped(ref: ObjectRef, write: (served: ServedKind) => Promise<void>): Promise<void> {
    try {
      const served = await this.#served.find(ref.kind, this.#signal);
      if (served === undefined)
        throw new StoreNotFoundError(`${describeRef(ref)}: the cluster does not know this kind`);
      await write(served);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      throw storeError(error, ref);
    }
  }
}

function nameOf({ namespace, name }: ObjectRef): object {
  return namespace === "" ? { name } : { name, namespace };
}

function storeError(error: ApiError, ref: ObjectRef): Error {
  const message = `${describeRef(ref)}: ${error.message}`;
  const options = { cause: error };
  // The uid is not the one that was seen: the object that was meant is gone.
  if (error.code === 409 && /UID in precondition/.test(error.message)) return new StoreNotFoundError(message, options);
  if (error.code === 404 || error.code === 410) return new StoreNotFoundError(message, options);
  if ([400, 403, 405, 415, 422].includes(error.code)) return new StoreRefusedError(message, options);
  return new StoreUnavailableError(message, options);
}
