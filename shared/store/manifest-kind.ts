import { isKind, KINDS, type Kind, WORKLOAD_KINDS } from "../api/kinds.ts";
import { API_GROUP, GATEWAY_GROUP } from "../api/names.ts";
import { nearest } from "./nearest.ts";
import { KIND_NAMES } from "./object-index.ts";
import { valuesAt } from "./schema-walk.ts";

/** What a document's `apiVersion` and `kind` make of it. */
export type KindVerdict =
  | { readonly is: "ours"; readonly kind: Kind }
  /** Some other program's object. */
  | { readonly is: "foreign" }
  | {
      readonly is: "wrong";
      readonly field: "apiVersion" | "kind";
      readonly message: string;
      readonly fix: string;
      /** The kind that was meant, when that is certain. */
      readonly kind?: Kind;
    };

/** Kinds of the Gateway API that other implementations serve, so that none is taken for a misspelt one of ours. */
const OTHER_GATEWAY_KINDS = new Set([
  "HTTPRoute",
  "GRPCRoute",
  "TLSRoute",
  "ListenerSet",
  "XListenerSet",
  "BackendTLSPolicy",
  "XBackendTrafficPolicy",
  "XMesh",
]);

function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}

/** The apiVersions that a kind is read in. */
function versionsOf(kind: Kind): readonly string[] {
  return valuesAt(KINDS[kind].schema, ["apiVersion"]);
}

function groupsOf(kind: Kind): readonly string[] {
  return versionsOf(kind).map(groupOf);
}

const OUR_GROUPS: readonly string[] = [API_GROUP, GATEWAY_GROUP, "discovery.k8s.io"];

const WORKLOADS: ReadonlySet<string> = new Set(WORKLOAD_KINDS);

/** Objects of other programs may lie in the same folder; what is nearly one of ours was meant to be one. */
export function judgeKind(apiVersion: string, kind: string): KindVerdict {
  const group = groupOf(apiVersion);
  if (WORKLOADS.has(kind)) return { is: "foreign" };
  if (isKind(kind)) {
    const versions = versionsOf(kind);
    if (versions.includes(apiVersion)) return { is: "ours", kind };
    const fix = `write ${versions.join(" or ")}`;
    if (groupsOf(kind).includes(group)) {
      const version = apiVersion.slice(group === "" ? 0 : group.length + 1);
      const where = group === "" ? "" : ` of ${group}`;
      return {
        is: "wrong",
        field: "apiVersion",
        message: `version ${JSON.stringify(version)}${where} is not read for ${kind}`,
        fix,
        kind,
      };
    }
    if (group === "" || OUR_GROUPS.includes(group) || nearest(group, groupsOf(kind)) !== undefined) {
      const message = `${JSON.stringify(apiVersion)} has no kind ${kind}`;
      return { is: "wrong", field: "apiVersion", message, fix, kind };
    }
    return { is: "foreign" };
  }
  const meantGroup = OUR_GROUPS.includes(group) ? group : nearest(group, [API_GROUP, GATEWAY_GROUP]);
  const candidates = KIND_NAMES.filter((name) => !WORKLOADS.has(name) && groupsOf(name).includes(meantGroup ?? ""));
  const meant = OTHER_GATEWAY_KINDS.has(kind) ? undefined : nearest(kind, candidates);
  const close = meant !== undefined && (group !== "" || Math.abs(meant.length - kind.length) <= 1);
  const unknown = `${JSON.stringify(kind)} is not a known kind`;
  if (group === API_GROUP) {
    const fix = close ? `did you mean ${meant}?` : `known in ${group}: ${candidates.join(", ")}`;
    return { is: "wrong", field: "kind", message: unknown, fix };
  }
  if ((group === "" || meantGroup !== undefined) && close && meantGroup !== "discovery.k8s.io") {
    return { is: "wrong", field: "kind", message: unknown, fix: `did you mean ${meant}?` };
  }
  return { is: "foreign" };
}

/** Checks an object against its kind's schema. */
export function parseObject(kind: Kind, value: unknown) {
  return KINDS[kind].schema.safeParse(value);
}
