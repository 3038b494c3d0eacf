import { type Document, isMap, parseAllDocuments } from "yaml";
import { LabError } from "./lab-error.ts";
import type { LabPod } from "./pods.ts";

/** A change of a file of Pods that leaves the rest as its owner wrote it. */
export type PodsChange =
  | { readonly type: "terminate"; readonly pod: LabPod; readonly at: Date; readonly graceSeconds: number }
  | { readonly type: "remove"; readonly pod: LabPod }
  /** `manifest`: the Pod's document, with its separator. What is there of that name is replaced. */
  | { readonly type: "add"; readonly pod: LabPod; readonly manifest: string };

/**
 * The text of a file of Pods after a change. A Pod that is not there is neither terminated nor removed. Pure.
 * @throws LabError when the text is no YAML.
 */
export function changePods(text: string, change: PodsChange): string {
  const documents = [...parseAllDocuments(text)];
  const fault = documents.flatMap(({ errors }) => errors)[0];
  if (fault !== undefined) throw new LabError(`pods.yaml is broken, mend it first: ${fault.message.split("\n")[0]}`);
  const kept = documents.filter((document) => change.type === "terminate" || !isPod(document, change.pod));
  if (change.type === "terminate") {
    for (const document of kept.filter((one) => isPod(one, change.pod))) {
      // In Kubernetes, too, the time is that of the end.
      const end = new Date(change.at.getTime() + change.graceSeconds * 1000);
      document.setIn(["metadata", "deletionTimestamp"], end.toISOString().replace(/\.[0-9]+Z$/, "Z"));
      document.setIn(["metadata", "deletionGracePeriodSeconds"], change.graceSeconds);
    }
  }
  const rest = kept.map((document) => `---\n${document.toString({ lineWidth: 0 }).replace(/^---\n/, "")}`).join("");
  return change.type === "add" ? `${rest}${change.manifest}` : rest;
}

function isPod(document: Document, { namespace, name }: LabPod): boolean {
  return (
    isMap(document.contents) &&
    document.get("kind") === "Pod" &&
    document.getIn(["metadata", "name"]) === name &&
    (document.getIn(["metadata", "namespace"]) ?? "default") === namespace
  );
}
