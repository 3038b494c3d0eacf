import { type AnyObject, describeRef, WORKLOAD_KINDS } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import { GATEWAY_NAME_LABEL, MANAGED_BY_LABEL, MANAGED_BY_VALUE } from "#shared/api/names.ts";
import type { Log } from "#shared/process/log.ts";
import type { GatewayAttachment } from "#shared/resolve/attachment-types.ts";
import { condition } from "#shared/resolve/conditions.ts";
import { refOf } from "#shared/store/object-index.ts";
import {
  type Interest,
  type ObjectStore,
  type ObjectView,
  StoreConflictError,
  StoreRefusedError,
} from "#shared/store/object-store.ts";
import type { AddressPlan } from "../plan-addresses.ts";
import { FIELD_MANAGER } from "../status-writer.ts";
import { DEPLOYED_CONDITION, planInstances } from "./plan-instances.ts";
import type { InstanceImage } from "./pod-template.ts";

/** What it reads beside what all of the controller reads. */
export const INSTANCE_INTERESTS: readonly Interest[] = WORKLOAD_KINDS.map((kind) => ({
  kind,
  matchLabels: { [MANAGED_BY_LABEL]: MANAGED_BY_VALUE },
}));

/** Keeps a Deployment of instances, and what belongs to it, for each Gateway. */
export class InstanceReconciler {
  readonly #view: ObjectView;
  readonly #store: ObjectStore;
  readonly #log: Log;
  readonly #options: InstanceImage;
  /** What could not be written, and was told. */
  readonly #told = new Map<string, string>();

  constructor(view: ObjectView, store: ObjectStore, log: Log, options: InstanceImage) {
    this.#view = view;
    this.#store = store;
    this.#log = log;
    this.#options = options;
  }

  /**
   * @returns the conditions of Gateways, by key.
   * @throws AggregateError when something could not be written that may be tried again.
   */
  async reconcile(
    gateways: readonly GatewayAttachment[],
    { gateways: addresses }: AddressPlan,
  ): Promise<{ readonly conditions: ReadonlyMap<string, Condition>; readonly failures: readonly unknown[] }> {
    const plan = planInstances(this.#view, gateways, addresses, this.#options);
    const conditions = new Map(plan.conditions);
    const failures: unknown[] = [];
    const stuck = new Set<string>();
    for (const object of plan.apply) {
      const key = `${object.metadata.namespace}/${object.metadata.labels[GATEWAY_NAME_LABEL] ?? ""}`;
      // Pods without the right to read objects, and the like, help nobody.
      if (stuck.has(key)) continue;
      const name = describeRef(refOf(object));
      try {
        await this.#apply(object);
        this.#told.delete(name);
        this.#log.info({ object: name }, "written");
      } catch (error) {
        stuck.add(key);
        if (!(error instanceof Error)) throw error;
        // Of the first two there is nothing to be gained by trying again: the next change of either may cure it.
        const reason =
          error instanceof StoreConflictError
            ? "NameTaken"
            : error instanceof StoreRefusedError
              ? "Refused"
              : "NotWritten";
        if (reason === "NotWritten") failures.push(error);
        else if (this.#told.get(name) !== error.message)
          this.#log.warn({ object: name, err: error }, "cannot be written");
        this.#told.set(name, error.message);
        const before = conditions.get(key);
        if (before === undefined) continue;
        const fix = reason === "NameTaken" ? "; delete or rename it" : "";
        const { observedGeneration = 1 } = before;
        const message = `${error.message}${fix}`;
        conditions.set(key, condition(DEPLOYED_CONDITION, "False", reason, message, observedGeneration));
      }
    }
    const tried = new Set(plan.apply.map((object) => describeRef(refOf(object))));
    for (const name of this.#told.keys()) if (!tried.has(name)) this.#told.delete(name);
    for (const ref of plan.delete) {
      try {
        await this.#store.delete(ref);
        this.#log.info({ object: describeRef(ref) }, "deleted: its Gateway wants it no more");
      } catch (error) {
        if (error instanceof StoreConflictError) this.#log.warn({ err: error }, "left: it is not ours");
        else failures.push(error);
      }
    }
    return { conditions, failures };
  }

  async #apply(object: AnyObject): Promise<void> {
    const options = { fieldManager: FIELD_MANAGER };
    switch (object.kind) {
      case "Deployment":
        return await this.#store.apply(object, options);
      case "PodDisruptionBudget":
        return await this.#store.apply(object, options);
      case "ServiceAccount":
        return await this.#store.apply(object, options);
      case "RoleBinding":
        return await this.#store.apply(object, options);
      case "ClusterRoleBinding":
        return await this.#store.apply(object, options);
      default:
        throw new TypeError(`${describeRef(refOf(object))} is no part of an instance`);
    }
  }
}
