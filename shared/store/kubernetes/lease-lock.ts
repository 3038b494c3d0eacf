import { z } from "zod";
import type { LeaderLock, LeaderRecord } from "../../process/leader-election.ts";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-error.ts";

const leaseSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  spec: z
    .looseObject({
      holderIdentity: z.string().nullish(),
      leaseDurationSeconds: z.number().nullish(),
      leaseTransitions: z.number().nullish(),
    })
    .prefault({}),
});

function recordOf(value: unknown): LeaderRecord {
  const { metadata, spec } = leaseSchema.parse(value);
  return {
    holder: spec.holderIdentity ?? "",
    durationMs: (spec.leaseDurationSeconds ?? 1) * 1000,
    transitions: spec.leaseTransitions ?? 0,
    version: metadata.resourceVersion,
  };
}

export interface LeaseLockOptions {
  readonly client: ApiClient;
  readonly namespace: string;
  readonly lease: string;
  readonly now: () => Date;
}

/** A lock that is a Lease (coordination.k8s.io/v1), as Kubernetes' own components use it. */
export class LeaseLock implements LeaderLock {
  readonly #options: LeaseLockOptions;

  constructor(options: LeaseLockOptions) {
    this.#options = options;
  }

  get name(): string {
    return `Lease ${this.#options.namespace}/${this.#options.lease}`;
  }

  async read(signal: AbortSignal): Promise<LeaderRecord | undefined> {
    try {
      return recordOf(await this.#options.client.ask({ method: "GET", path: this.#path(true), signal }));
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return undefined;
      throw error;
    }
  }

  async write(
    { holder, durationMs, transitions }: Pick<LeaderRecord, "holder" | "durationMs" | "transitions">,
    over: LeaderRecord | undefined,
    signal: AbortSignal,
  ): Promise<LeaderRecord | undefined> {
    const { client, lease: name, namespace, now } = this.#options;
    // MicroTime has six digits.
    const time = now().toISOString().replace("Z", "000Z");
    const spec = {
      holderIdentity: holder,
      leaseDurationSeconds: Math.max(1, Math.round(durationMs / 1000)),
      leaseTransitions: transitions,
      renewTime: time,
      ...(over?.holder === holder ? {} : { acquireTime: time }),
    };
    try {
      const answer =
        over === undefined
          ? await client.ask({
              method: "POST",
              path: this.#path(false),
              body: { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name, namespace }, spec },
              signal,
            })
          : await client.ask({
              method: "PATCH",
              path: this.#path(true),
              contentType: "application/merge-patch+json",
              body: { metadata: { resourceVersion: over.version }, spec },
              signal,
            });
      return recordOf(answer);
    } catch (error) {
      if (error instanceof ApiError && error.code === 409) return undefined;
      throw error;
    }
  }

  #path(isOne: boolean): string {
    const { lease, namespace } = this.#options;
    const leases = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
    return isOne ? `${leases}/${encodeURIComponent(lease)}` : leases;
  }
}
