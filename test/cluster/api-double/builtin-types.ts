import type { OpenApiSchema } from "#shared/api/structural-schema.fixture.ts";
import type { ResourceType } from "./resource-type.ts";

/*
 * Kubernetes' own resources that Causeway uses: how their lists merge, their defaults, and the part of their validation
 * that a mistake of ours would break. Fields that are not named here are taken as they are.
 */

const text: OpenApiSchema = { type: "string" };
const word: OpenApiSchema = { type: "string", minLength: 1, maxLength: 128 };
const integer: OpenApiSchema = { type: "integer" };
const port: OpenApiSchema = { type: "integer", minimum: 1, maximum: 65_535 };
const flag: OpenApiSchema = { type: "boolean" };
const label: OpenApiSchema = { type: "string", pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", maxLength: 63 };
const protocol: OpenApiSchema = { type: "string", enum: ["TCP", "UDP", "SCTP"], default: "TCP" };
const texts: OpenApiSchema = { type: "object", additionalProperties: text };
const microTime: OpenApiSchema = {
  type: "string",
  pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$",
};

function object(properties: Readonly<Record<string, OpenApiSchema>>, required: readonly string[] = []): OpenApiSchema {
  return { type: "object", properties, required: [...required] };
}
function atomic(items: OpenApiSchema, more: OpenApiSchema = {}): OpenApiSchema {
  return { type: "array", items, "x-kubernetes-list-type": "atomic", ...more };
}
function map(keys: readonly string[], items: OpenApiSchema): OpenApiSchema {
  return { type: "array", items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [...keys] };
}

const conditions = map(
  ["type"],
  object(
    {
      type: text,
      status: { type: "string", enum: ["True", "False", "Unknown"] },
      reason: text,
      message: text,
      observedGeneration: integer,
      lastTransitionTime: { type: "string", format: "date-time" },
    },
    ["type", "status"],
  ),
);

const metadata: OpenApiSchema = object({
  labels: texts,
  annotations: texts,
  finalizers: { type: "array", items: text, "x-kubernetes-list-type": "set" },
  ownerReferences: map(["uid"], object({ uid: text, name: text, kind: text, apiVersion: text })),
});

function type(
  group: string,
  version: string,
  kind: string,
  plural: string,
  fields: Readonly<Record<string, OpenApiSchema>>,
  more: Partial<ResourceType> & { readonly required?: readonly string[] } = {},
): ResourceType {
  const { required = [], ...rest } = more;
  return {
    group,
    versions: [version],
    storageVersion: version,
    kind,
    plural,
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced: true,
    hasStatus: false,
    hasGeneration: false,
    schemas: new Map([[version, object({ metadata, ...fields }, required)]]),
    keepsUnknown: true,
    selectableFields: [],
    ...rest,
  };
}

const servicePort = object(
  {
    name: label,
    protocol,
    port,
    targetPort: { "x-kubernetes-int-or-string": true },
    nodePort: integer,
  },
  ["port"],
);
const endpoint = object(
  {
    addresses: { type: "array", items: text, minItems: 1, maxItems: 100, "x-kubernetes-list-type": "set" },
    conditions: object({ ready: flag, serving: flag, terminating: flag }),
    targetRef: { ...object({ kind: text, namespace: text, name: text, uid: text }), "x-kubernetes-map-type": "atomic" },
    nodeName: text,
    zone: text,
    hostname: label,
  },
  ["addresses"],
);

/** With the defaults that the API server fills in: they must not make an object look changed. */
const containers = map(
  ["name"],
  object(
    {
      name: label,
      image: text,
      imagePullPolicy: { type: "string", enum: ["Always", "IfNotPresent", "Never"], default: "IfNotPresent" },
      terminationMessagePath: { type: "string", default: "/dev/termination-log" },
      env: map(["name"], object({ name: text, value: text })),
      ports: map(["containerPort", "protocol"], object({ name: label, containerPort: port, protocol })),
      resources: object({ limits: texts, requests: texts }),
      volumeMounts: map(["mountPath"], object({ name: label, mountPath: text, readOnly: flag }, ["name", "mountPath"])),
      securityContext: object({
        privileged: flag,
        allowPrivilegeEscalation: flag,
        readOnlyRootFilesystem: flag,
        runAsUser: integer,
        capabilities: object({ add: atomic(text), drop: atomic(text) }),
      }),
    },
    ["name"],
  ),
);
const podSpec = object(
  {
    containers: { ...containers, minItems: 1 },
    initContainers: containers,
    dnsPolicy: { type: "string", default: "ClusterFirst" },
    restartPolicy: { type: "string", enum: ["Always"], default: "Always" },
    schedulerName: { type: "string", default: "default-scheduler" },
    terminationGracePeriodSeconds: { type: "integer", minimum: 0, default: 30 },
    readinessGates: atomic(object({ conditionType: text }, ["conditionType"])),
    topologySpreadConstraints: map(
      ["topologyKey", "whenUnsatisfiable"],
      object({ maxSkew: { type: "integer", minimum: 1 }, topologyKey: text, whenUnsatisfiable: text }, [
        "maxSkew",
        "topologyKey",
        "whenUnsatisfiable",
      ]),
    ),
    volumes: map(["name"], object({ name: label }, ["name"])),
  },
  ["containers"],
);
const subjects = atomic(object({ kind: text, name: text, namespace: text }, ["kind", "name"]));
const roleRef: OpenApiSchema = {
  ...object({ apiGroup: text, kind: text, name: text }, ["apiGroup", "kind", "name"]),
  "x-kubernetes-map-type": "atomic",
};

/** The types of their own group and version that are there before any CustomResourceDefinition is. */
export const BUILTIN_TYPES: readonly ResourceType[] = [
  type("", "v1", "Namespace", "namespaces", {}, { namespaced: false, hasStatus: true, shortNames: ["ns"] }),
  type(
    "",
    "v1",
    "Pod",
    "pods",
    {
      spec: object({
        nodeName: text,
        containers: map(
          ["name"],
          object({
            name: label,
            ports: map(["containerPort", "protocol"], object({ name: label, containerPort: port, protocol })),
          }),
        ),
        readinessGates: atomic(object({ conditionType: text }, ["conditionType"])),
      }),
      status: object({ phase: text, conditions, podIPs: map(["ip"], object({ ip: text }, ["ip"])) }),
    },
    {
      hasStatus: true,
      hasGeneration: true,
      shortNames: ["po"],
      selectableFields: ["spec.nodeName", "status.phase", "status.podIP", "spec.restartPolicy"],
    },
  ),
  type(
    "",
    "v1",
    "Service",
    "services",
    {
      spec: object({
        selector: { ...texts, "x-kubernetes-map-type": "atomic" },
        ports: map(["port", "protocol"], servicePort),
        sessionAffinity: { type: "string", enum: ["None", "ClientIP"], default: "None" },
        type: { type: "string", default: "ClusterIP" },
      }),
      status: object({ conditions }),
    },
    { hasStatus: true, shortNames: ["svc"], required: ["spec"] },
  ),
  type(
    "",
    "v1",
    "Secret",
    "secrets",
    { data: { type: "object", additionalProperties: text }, type: { type: "string", default: "Opaque" } },
    { selectableFields: ["type"] },
  ),
  type("", "v1", "ConfigMap", "configmaps", { data: texts }),
  type("", "v1", "ServiceAccount", "serviceaccounts", {}),
  type("", "v1", "Node", "nodes", { status: object({ conditions }) }, { namespaced: false, hasStatus: true }),
  type("", "v1", "Event", "events", { involvedObject: object({}) }, { required: ["involvedObject"] }),
  type(
    "events.k8s.io",
    "v1",
    "Event",
    "events",
    {
      eventTime: microTime,
      note: { type: "string", maxLength: 1024 },
      type: { type: "string", enum: ["Normal", "Warning"] },
      reason: word,
      action: word,
      reportingController: word,
      reportingInstance: word,
      regarding: object({ kind: text, namespace: text, name: text, uid: text, apiVersion: text }),
    },
    { required: ["eventTime", "type", "reason", "action", "reportingController", "reportingInstance"] },
  ),
  type(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    {
      addressType: { type: "string", enum: ["IPv4", "IPv6", "FQDN"] },
      endpoints: atomic(endpoint, { maxItems: 1000 }),
      ports: atomic(object({ name: text, protocol, port, appProtocol: text })),
    },
    { hasGeneration: true, required: ["addressType", "endpoints"] },
  ),
  type("coordination.k8s.io", "v1", "Lease", "leases", {
    spec: object({
      holderIdentity: text,
      leaseDurationSeconds: { type: "integer", minimum: 1 },
      acquireTime: microTime,
      renewTime: microTime,
      leaseTransitions: { type: "integer", minimum: 0 },
    }),
  }),
  type(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    {
      spec: object(
        {
          replicas: { type: "integer", minimum: 0, default: 1 },
          selector: { ...object({ matchLabels: texts }), "x-kubernetes-map-type": "atomic" },
          progressDeadlineSeconds: { type: "integer", default: 600 },
          template: object({ metadata: object({ labels: texts, annotations: texts }), spec: podSpec }, ["spec"]),
        },
        ["selector", "template"],
      ),
      status: object({ conditions }),
    },
    { hasStatus: true, hasGeneration: true, shortNames: ["deploy"], required: ["spec"] },
  ),
  type(
    "rbac.authorization.k8s.io",
    "v1",
    "RoleBinding",
    "rolebindings",
    { subjects, roleRef },
    { required: ["roleRef"] },
  ),
  type(
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings",
    { subjects, roleRef },
    { namespaced: false, required: ["roleRef"] },
  ),
  type("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", {}, { hasStatus: true, hasGeneration: true }),
  type(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    { status: object({ conditions }) },
    { namespaced: false, hasStatus: true, hasGeneration: true, shortNames: ["crd"], required: ["spec"] },
  ),
];
