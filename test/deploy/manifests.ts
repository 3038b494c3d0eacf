import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments } from "yaml";
import { z } from "zod";

export const DEPLOY = fileURLToPath(new URL("../../deploy", import.meta.url));

const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type DeployedManifest = z.infer<typeof manifestSchema>;

/** What our kustomizations use; another field would go unnoticed by these tests, and is refused. */
const kustomizationSchema = z.strictObject({
  apiVersion: z.string(),
  kind: z.enum(["Kustomization", "Component"]),
  resources: z.array(z.string()).default([]),
  components: z.array(z.string()).default([]),
  patches: z.array(z.strictObject({ path: z.string() })).default([]),
  labels: z.array(z.strictObject({ pairs: z.record(z.string(), z.string()) })).default([]),
});

export interface Resolved {
  readonly resources: readonly DeployedManifest[];
  readonly patches: readonly DeployedManifest[];
  readonly files: readonly string[];
}

function documents(file: string): DeployedManifest[] {
  return parseAllDocuments(readFileSync(file, "utf8")).map((document) => manifestSchema.parse(document.toJS()));
}

/**
 * What a kustomization names, files and folders. Patches are not applied: `kubectl kustomize` does that, where it is.
 * @throws when a path leads nowhere or a kustomization has a field that is not known here.
 */
export function resolve(folder: string): Resolved {
  const own = join(folder, "kustomization.yaml");
  const { resources, components, patches } = kustomizationSchema.parse(parse(readFileSync(own, "utf8")));
  const parts = [...resources, ...components].map((name): Resolved => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? resolve(path) : { resources: documents(path), patches: [], files: [path] };
  });
  const patched = patches.map(({ path }) => join(folder, path));
  return {
    resources: parts.flatMap((part) => part.resources),
    patches: [...parts.flatMap((part) => part.patches), ...patched.flatMap(documents)],
    files: [own, ...patched, ...parts.flatMap((part) => part.files)],
  };
}

/** `Kind namespace/name` */
export function nameOf({ kind, metadata }: DeployedManifest): string {
  return `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
}
