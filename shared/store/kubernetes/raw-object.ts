import { z } from "zod";
import { type AnyObject, KINDS, type Kind, type ObjectRef } from "../../api/kinds.ts";
import { explainIssue } from "../explain-issue.ts";
import { fieldText } from "../problem.ts";
import type { Refusal } from "../refusals.ts";
import { FIELD_MANAGER_PREFIX } from "./field-manager.ts";
import { trimmerOf } from "./trimmed.ts";

/** What an object says about itself before anything else of it is looked at. */
const rawSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().default(""),
    uid: z.string().default(""),
    resourceVersion: z.string(),
    generation: z.int().optional(),
    annotations: z.record(z.string(), z.string()).nullish(),
    managedFields: z
      .array(
        z.looseObject({
          manager: z.string().optional(),
          operation: z.string().optional(),
          subresource: z.string().optional(),
        }),
      )
      .nullish(),
  }),
});

/** kubectl's copy of the whole object. */
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
/** Of pods, of which there are many, only annotations with these prefixes are read. */
const POD_ANNOTATIONS = ["k8s.v1.cni.cncf.io/", "causeway.dev/"];

/** An object of the API as it was read. */
export interface ReadObject {
  readonly ref: ObjectRef;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Undefined: it does not pass its schema. */
  readonly object: AnyObject | undefined;
  /** The field manager, of ours, that made it; undefined for everybody else's. */
  readonly generator: string | undefined;
  /** Why it does not pass. */
  readonly refusal: Refusal | undefined;
}

/** Reads objects of one kind. */
export class ObjectReader {
  readonly #kind: Kind;
  readonly #apiVersion: string;
  readonly #trim: (value: unknown) => unknown;

  /** @param apiVersion In which the kind is asked for: items of lists do not say. */
  constructor(kind: Kind, apiVersion: string) {
    this.#kind = kind;
    this.#apiVersion = apiVersion;
    this.#trim = trimmerOf(KINDS[kind].schema);
  }

  /** Undefined: it is no object at all. */
  read(value: unknown): ReadObject | undefined {
    const raw = rawSchema.safeParse(value);
    if (!raw.success) return undefined;
    const { name, namespace, uid, resourceVersion, annotations, managedFields } = raw.data.metadata;
    const kind = this.#kind;
    const ref: ObjectRef = { kind, namespace, name };
    const trimmed = this.#trim({
      ...raw.data,
      apiVersion: this.#apiVersion,
      kind,
      metadata: { ...raw.data.metadata, annotations: this.#annotations(annotations ?? {}) },
    });
    const generator = managedFields?.find(
      ({ manager, operation, subresource }) =>
        operation === "Apply" && subresource === undefined && manager?.startsWith(FIELD_MANAGER_PREFIX),
    )?.manager;
    const parsed = KINDS[kind].schema.safeParse(trimmed);
    const base = { ref, uid, resourceVersion, generator };
    if (parsed.success) return { ...base, object: parsed.data, refusal: undefined };
    const { generation = 1 } = raw.data.metadata;
    const message = problemOf(parsed.error, trimmed, kind);
    return { ...base, object: undefined, refusal: { ref, generation, message, value: trimmed } };
  }

  #annotations(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const isRead = (name: string): boolean =>
      this.#kind === "Pod" ? POD_ANNOTATIONS.some((prefix) => name.startsWith(prefix)) : name !== LAST_APPLIED;
    return Object.fromEntries(Object.entries(annotations).filter(([name]) => isRead(name)));
  }
}

function problemOf(error: z.ZodError, value: unknown, kind: Kind): string {
  return error.issues
    .flatMap((issue) => explainIssue(KINDS[kind].schema, value, issue, () => undefined))
    .map(({ path, message, fix }) => `${fieldText(path)}: ${message}${fix === undefined ? "" : ` (${fix})`}`)
    .join("; ");
}
