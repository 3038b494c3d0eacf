import fc from "fast-check";
import { expect, test } from "vitest";
import { describeRef } from "../api/kinds.ts";
import { MAX_MANIFEST_BYTES, parseManifest } from "./manifest-file.ts";
import { parseManifestBytes } from "./manifest-folder.ts";
import { problemText } from "./problem.ts";

/** What an operator reads, without the file's name. */
function said(text: string): readonly string[] {
  return parseManifest("f", text).problems.map((problem) => problemText(problem).slice(2));
}
const doc = (apiVersion: string, kind: string, rest = "metadata: {name: x}"): string =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\n${rest}\n`;

test("every problem of an object at once, each at its own place", () => {
  const text = `# a comment
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: a}
spec:
  gatewayClasName: c
  listeners:
    - {name: x, port: "80", protocol: TCP}
    - name: y
      protocol: TCP
`;
  expect(said(text)).toEqual([
    "5:1: Gateway default/a: spec.gatewayClassName: is missing (add it: text)",
    "6:3: Gateway default/a: spec.gatewayClasName: is not a known field (did you mean gatewayClassName?)",
    '8:23: Gateway default/a: spec.listeners[0].port: must be a number, but is the text "80" (write 80 without quotes)',
    "9:7: Gateway default/a: spec.listeners[1].port: is missing (add it: a number)",
  ]);
});

test("says which version, which kind and which value would be right", () => {
  const own = "causeway.dev/v1alpha1";
  expect(said(doc("causeway.dev/v1beta1", "BgpPeer"))).toEqual([
    '1:13: BgpPeer x: apiVersion: version "v1beta1" of causeway.dev is not read for BgpPeer (write causeway.dev/v1alpha1)',
  ]);
  expect(said(doc("v1", "TCPRoute"))[0]).toContain(
    '"v1" has no kind TCPRoute (write gateway.networking.k8s.io/v1 or gateway.networking.k8s.io/v1alpha2)',
  );
  expect(said(doc("causway.dev/v1alpha1", "FlowRoute"))[0]).toContain("write causeway.dev/v1alpha1");
  expect(said(doc(own, "BGPPeers"))[0]).toContain("did you mean BgpPeer?");
  expect(said(doc(own, "Frobnicator"))[0]).toContain("known in causeway.dev: ");
  expect(said(doc("v1", "service"))[0]).toContain("did you mean Service?");
  expect(
    said(doc(own, "AddressPool", "metadata: {name: x}\nspec: {addresses: [10.0.0.0/8], priority: 0x1F.}")),
  ).toEqual(['4:43: AddressPool x: spec.priority: must be a number, but is the text "0x1F."']);
  expect(
    said(
      doc(
        own,
        "FlowRoute",
        "metadata: {name: x}\nspec: {parentRefs: [{name: g}], backendRefs: [{name: b}], match: {byteMatches: [{offset: 0, width: 1, value: 0x1f}]}}",
      ),
    )[0],
  ).toContain('must be text, but is 31 (write "0x1f" with quotes)');
});

test("a cluster-scoped object has no namespace", () => {
  expect(said(doc("v1", "Namespace", "metadata: {name: x, namespace: y}"))).toEqual([
    "3:32: Namespace x: metadata.namespace: must not be set here (remove it)",
  ]);
});

test("other programs' objects are listed and left alone", () => {
  const text = [
    doc("apps/v1", "Deployment"),
    doc("v1", "PersistentVolumeClaim"),
    doc("gateway.networking.k8s.io/v1", "TLSRoute"),
    doc("networking.istio.io/v1", "Gateway"),
    doc("v1", "Node"),
    doc("networking.k8s.io/v1", "NetworkPolicy"),
    doc("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition"),
  ].join("---\n");
  const { foreign, problems, complete } = parseManifest("f", text);
  expect(problems).toEqual([]);
  expect(foreign.map(({ kind }) => kind)).toHaveLength(7);
  expect(complete).toBe(true);
});

test("documents, lists, JSON and nulls as Kubernetes has them; empty documents are skipped", () => {
  const service = { apiVersion: "v1", kind: "Service", spec: { ports: [{ port: 80 }] } };
  const named = (name: string) => ({ ...service, metadata: { name, creationTimestamp: null } });
  const list = { apiVersion: "v1", kind: "List", items: [named("b"), { ...named("c"), spec: 5 }] };
  const text = `---\n---\n# nothing\n---\n${JSON.stringify(named("a"))}\n---\n${JSON.stringify(list, undefined, 1)}\n...\n`;
  const { objects, problems } = parseManifest("f", text);
  expect(objects.map(({ ref, object }) => [describeRef(ref), object !== undefined])).toEqual([
    ["Service default/a", true],
    ["Service default/b", true],
    ["Service default/c", false],
  ]);
  expect(problems).toMatchObject([{ object: "Service default/c", field: "spec", line: 29 }]);
});

test("what is no YAML or no object is one problem with its place, and the rest is read", () => {
  const { problems, objects, complete } = parseManifest(
    "f",
    `a: [1, 2\n---\nfoo:\n\tbar: 1\n---\n- 5\n---\nkind: Pod\nkind: Pod\n---\n${doc("v1", "Pod")}---\nmetadata: {name: x}\n`,
  );
  expect(objects.map(({ ref }) => describeRef(ref))).toEqual(["Pod default/x"]);
  expect(complete).toBe(false);
  expect(problems.map(({ line, message }) => `${line} ${message}`)).toEqual([
    expect.stringMatching(/^2 not YAML: .*\]/),
    "4 not YAML: a tab cannot indent YAML",
    "6 must be a Kubernetes object: a mapping with apiVersion, kind, metadata",
    expect.stringMatching(/^9 not YAML: .*unique/),
    "15 is missing",
    "15 is missing",
  ]);
});

test("bombs, depth, size and bytes are bounded", () => {
  let bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (let i = 1; i < 20; i++) bomb += `a${i}: &a${i} [${Array.from({ length: 9 }, () => `*a${i - 1}`).join(",")}]\n`;
  expect(said(bomb)).toEqual([expect.stringContaining("write the values out")]);
  expect(said("a: *nowhere\n")[0]).toContain("nowhere");
  expect(said("[".repeat(50_000)).length).toBeGreaterThan(0);
  expect(said("- ".repeat(10_000)).length).toBeGreaterThan(0);
  expect(said(`# ${"x".repeat(MAX_MANIFEST_BYTES)}`)).toEqual([expect.stringContaining("split it")]);
  expect(parseManifestBytes("f", Uint8Array.of(0xff, 0xfe), {}).problems).toMatchObject([{ fix: "save it as UTF-8" }]);
  const polluted = parseManifest("f", doc("v1", "Pod", "metadata: {name: x, __proto__: {a: 1}}\n__proto__: {b: 1}"));
  expect(polluted.objects).toHaveLength(1);
  expect(Object.getPrototypeOf(polluted.objects[0]?.object)).toBe(Object.prototype);
});

test("any text is read without throwing, and problems lie inside it", () => {
  const words = fc.constantFrom(
    ...["apiVersion: ", "kind: ", "v1", "List", "Service", "Gateway", "causeway.dev/v1alpha1", "metadata:", "items:"],
    ...[
      "\n",
      "\n  ",
      "\n- ",
      "---\n",
      "{",
      "}",
      "[",
      "]",
      '"',
      "'",
      ": ",
      ", ",
      "&a ",
      "*a",
      "<<: ",
      "!!set ",
      "? ",
      "|",
      "\t",
      "#",
    ],
    ...[
      "%YAML 1.1\n---\n",
      "null",
      "name: x",
      "spec: ",
      "port: 80",
      "...\n",
      "\0",
      "\ufeff",
      "!!binary aa",
      "2020-01-01",
    ],
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(words, { maxLength: 40 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (input) => {
      const lines = input.split(/\r\n|\n/).length;
      for (const { line, column } of parseManifest("f", input).problems) {
        expect(line).toBeGreaterThanOrEqual(1);
        expect(line).toBeLessThanOrEqual(lines);
        expect(column).toBeGreaterThanOrEqual(1);
      }
    }),
    { numRuns: 2000 },
  );
});
