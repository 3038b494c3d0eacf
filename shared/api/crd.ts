import { stringify } from "yaml";
import { CRD_METADATA, STRICTER } from "./crd-metadata.ts";
import { type StructuralSchema, structuralSchema } from "./crd-schema.ts";
import { KINDS } from "./kinds.ts";
import { API_GROUP, API_VERSION, GATEWAY_GROUP } from "./names.ts";

/** A generated file. */
export interface CrdFile {
  /** In the folder of the definitions. */
  readonly name: string;
  readonly text: string;
}

const HEADER = "# Generated from shared/api by `npm run generate`. Do not edit. Needs Kubernetes 1.31.\n";
const [, VERSION = ""] = API_VERSION.split("/");

export type CrdKind = keyof typeof CRD_METADATA;
export const CRD_KINDS = [
  "GatewayParameters",
  "AddressPool",
  "BgpPeer",
  "FlowRoute",
  "HealthCheck",
  "DiscoveryDomain",
  "Topic",
] as const satisfies CrdKind[];

/** The structural schema of one of our kinds. */
export function crdSchema(kind: CrdKind): StructuralSchema {
  const { description, additions } = CRD_METADATA[kind];
  return { ...structuralSchema(KINDS[kind].schema, additions), description };
}

/** The CustomResourceDefinition (apiextensions.k8s.io/v1) of one of our kinds. */
export function customResourceDefinition(kind: CrdKind) {
  const { shortName, columns, policy, scale } = CRD_METADATA[kind];
  const { plural, namespaced } = KINDS[kind];
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${API_GROUP}`,
      labels: {
        "app.kubernetes.io/part-of": "causeway",
        ...(policy === undefined ? {} : { [`${GATEWAY_GROUP}/policy`]: policy }),
      },
    },
    spec: {
      group: API_GROUP,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ["causeway"],
      },
      scope: namespaced ? "Namespaced" : "Cluster",
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          subresources: { status: {}, ...(scale === undefined ? {} : { scale }) },
          schema: { openAPIV3Schema: crdSchema(kind) },
        },
      ],
    },
  };
}

/** The folder's README: what is in it, and what it does not keep out. */
function readme(): string {
  const kinds = CRD_KINDS.map((kind) => {
    const { shortName, description } = CRD_METADATA[kind];
    return `| ${kind} | ${KINDS[kind].namespaced ? "namespaced" : "cluster"} | \`${shortName}\` | ${description} |`;
  });
  const slips = refusedInStatus().map(({ kind, field, what }) => `- ${kind} \`${field}\`: ${what}`);
  return `<!-- Generated from shared/api by \`npm run generate\`. Do not edit. -->
# CustomResourceDefinitions

\`kubectl apply -k deploy/crds\`. Needs Kubernetes 1.31, whose rules know addresses and prefixes. \`kubectl get causeway -A\` lists the objects of all kinds.

| kind | scope | short name | what it is |
|---|---|---|---|
${kinds.join("\n")}

The schemas are those that files are checked with. Unknown fields are refused by \`kubectl apply\` and pruned from what other clients send.

## Let through

These make no sense, and structural schemas and rules cannot say so at a cost that the API server takes. They are refused in status:

${slips.join("\n")}

## Stricter than files

${STRICTER.map((line) => `- ${line}`).join("\n")}
`;
}

/** What `deploy/crds` holds. */
export function crdFiles(): readonly CrdFile[] {
  const definitions = CRD_KINDS.map((kind) => {
    const text = stringify(customResourceDefinition(kind), { aliasDuplicateObjects: false, lineWidth: 0 });
    return { name: `${KINDS[kind].plural}.yaml`, text: HEADER + text };
  }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const kustomization = {
    apiVersion: "kustomize.config.k8s.io/v1beta1",
    kind: "Kustomization",
    resources: definitions.map(({ name }) => name),
  };
  return [
    ...definitions,
    { name: "kustomization.yaml", text: HEADER + stringify(kustomization) },
    { name: "README.md", text: readme() },
  ];
}

/** What the API server lets through although it makes no sense, by kind and field: it is refused in status. */
export function refusedInStatus(): readonly {
  readonly kind: CrdKind;
  readonly field: string;
  readonly what: string;
}[] {
  return CRD_KINDS.flatMap((kind) =>
    Object.entries(CRD_METADATA[kind].additions).flatMap(([field, { slips = [] }]) =>
      slips.map((what) => ({ kind, field, what })),
    ),
  );
}
