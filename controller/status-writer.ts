import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { describeRef, type ObjectRef } from "#shared/api/kinds.ts";
import { conditionSchema } from "#shared/api/meta.ts";
import type { Clock } from "#shared/process/clock.ts";
import { withTransitionTimes } from "#shared/resolve/conditions.ts";
import { type ObjectStore, type StatusOf, StoreNotFoundError } from "#shared/store/object-store.ts";
import { covers, isRecord } from "./covers.ts";

export const FIELD_MANAGER = "controller";

const conditionsSchema = z.array(conditionSchema);

/** The item of a list that speaks of the same thing: listeners go by name, parents by their reference. */
function counterpart(item: unknown, list: unknown): unknown {
  if (!isRecord(item) || !Array.isArray(list)) return undefined;
  return list.find(
    (other) =>
      isRecord(other) &&
      other.name === item.name &&
      other.controllerName === item.controllerName &&
      isDeepStrictEqual(other.parentRef, item.parentRef),
  );
}

/** The status with `lastTransitionTime` in every condition, taken from `previous` where its status is the same. */
function withTimes(value: unknown, previous: unknown, field: string, now: string): unknown {
  if (field === "conditions") {
    const before = conditionsSchema.safeParse(previous);
    return withTransitionTimes(conditionsSchema.parse(value), before.success ? before.data : [], now);
  }
  if (Array.isArray(value)) return value.map((item) => withTimes(item, counterpart(item, previous), "", now));
  if (!isRecord(value)) return value;
  const before = isRecord(previous) ? previous : {};
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withTimes(item, before[key], key, now)]));
}

function withoutTimes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutTimes);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "lastTransitionTime")
      .map(([key, item]) => [key, withoutTimes(item)]),
  );
}

/** Writes statuses, only when they say something new; keeps conditions' transition times. */
export class StatusWriter {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  /** Our last word on each object, with times. The view may lag behind what was written. */
  readonly #written = new Map<string, StatusOf>();

  constructor(store: ObjectStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * @param wanted All that we say of the object; conditions without times.
   * @param current The object's status as last seen.
   * @returns Whether a write was needed. An object that is gone needs none.
   */
  async write(ref: ObjectRef, wanted: StatusOf, current: unknown): Promise<boolean> {
    const key = describeRef(ref);
    const last = this.#written.get(key);
    const seen = isRecord(current) ? current : {};
    if (last === undefined) {
      const sameFields = Object.fromEntries(Object.keys(wanted).map((field) => [field, seen[field]]));
      if (isDeepStrictEqual(withoutTimes(sameFields), wanted)) return false;
    } else if (isDeepStrictEqual(withoutTimes(last), wanted) && covers(seen, wanted)) {
      return false;
    }
    const now = new Date(this.#clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z");
    const status = withTimes(wanted, last ?? seen, "", now);
    if (!isRecord(status)) throw new TypeError(`the status of ${key} is no object`);
    try {
      await this.#store.applyStatus(ref, status, { fieldManager: FIELD_MANAGER });
    } catch (error) {
      this.#written.delete(key);
      if (error instanceof StoreNotFoundError) return false;
      throw error;
    }
    this.#written.set(key, status);
    return true;
  }

  /** Of an object that is gone. */
  forget(ref: ObjectRef): void {
    this.#written.delete(describeRef(ref));
  }
}
