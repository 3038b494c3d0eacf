import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { changePods } from "./pods-file.ts";

const pod = (name: string) => ({ namespace: "default", name, node: name, ips: [] });
const TEXT = `# mine
apiVersion: v1
kind: Pod
metadata: { name: one } # in the default namespace
---
apiVersion: v1
kind: Pod
metadata: { name: two, namespace: default, labels: { app: echo } }
---
apiVersion: v1
kind: Pod
metadata: { name: two, namespace: other }
`;
const names = (text: string): unknown[] =>
  [...parseAllDocuments(text)].map(
    (d) => `${d.getIn(["metadata", "namespace"]) ?? "-"}/${d.getIn(["metadata", "name"])}`,
  );

describe("a change of the file of Pods", () => {
  it("terminates one Pod, to the second, and leaves the others and the comments", () => {
    const at = new Date("2026-01-01T00:00:00.900Z");
    const text = changePods(TEXT, { type: "terminate", pod: pod("two"), at, graceSeconds: 30 });
    const metadata = [...parseAllDocuments(text)].map((document) => document.toJS().metadata);
    expect(metadata).toEqual([
      { name: "one" },
      {
        name: "two",
        namespace: "default",
        labels: { app: "echo" },
        deletionTimestamp: "2026-01-01T00:00:30Z",
        deletionGracePeriodSeconds: 30,
      },
      { name: "two", namespace: "other" },
    ]);
    expect(text).toContain("# mine");
    expect(text).toContain("# in the default namespace");
  });

  it("removes one and adds it again, terminating no more", () => {
    const without = changePods(TEXT, { type: "remove", pod: pod("one") });
    expect(names(without)).toEqual(["default/two", "other/two"]);
    const manifest = "---\nkind: Pod\nmetadata: { name: one, namespace: default }\n";
    expect(names(changePods(without, { type: "add", pod: pod("one"), manifest }))).toEqual([
      "default/two",
      "other/two",
      "default/one",
    ]);
    expect(names(changePods(TEXT, { type: "add", pod: pod("one"), manifest })).slice(-1)).toEqual(["default/one"]);
    expect(names(changePods("", { type: "add", pod: pod("one"), manifest }))).toEqual(["default/one"]);
  });

  it("does nothing to a Pod that is not there, and says what to do about a broken file", () => {
    expect(names(changePods(TEXT, { type: "remove", pod: pod("three") }))).toEqual(names(TEXT));
    expect(() => changePods("a: [", { type: "remove", pod: pod("one") })).toThrow(/pods.yaml is broken, mend it first/);
  });
});
