import type { HealthCheck } from "#shared/api/health-check.ts";
import type { Ip } from "#shared/net/ip.ts";

/** An instance that has said that it does not reach a target. */
export interface Unreached {
  readonly instance: string;
  readonly message: string;
}

/** The instances that do not reach a target of one of these Services (`namespace/name`), by the HealthChecks' statuses. */
export function unreachedBy(
  checks: readonly HealthCheck[],
  services: readonly string[],
  address: Ip | undefined,
): readonly Unreached[] {
  const found = checks
    .filter(({ metadata, spec }) =>
      spec.targetRefs.some(({ name }) => services.includes(`${metadata.namespace}/${name}`)),
    )
    .flatMap(({ status }) => status?.instances ?? [])
    // One that reaches nobody is cut off: it has withdrawn, and its tables are whole.
    .filter(({ healthy }) => healthy > 0)
    .flatMap(({ name, targets }) =>
      targets
        .filter((target) => target.address === address)
        .map(({ message = "" }): readonly [string, Unreached] => [name, { instance: name, message }]),
    );
  return [...new Map(found).values()];
}
