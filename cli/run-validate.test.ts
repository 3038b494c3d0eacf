import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runValidate } from "./run-validate.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cw-validate-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function run(paths: readonly string[], { json = false, input = "" } = {}) {
  let output = "";
  const status = await runValidate(paths, json, Readable.from([Buffer.from(input)]), (text) => {
    output += text;
  });
  return { status, output, lines: output.trimEnd().split("\n") };
}

const CLASS = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: causeway}
spec: {controllerName: causeway.dev/gateway-controller}
`;
const GATEWAY = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: causeway
  listeners:
  - {name: web, protocol: TCP, port: 80}
  - {name: dns, protocol: UDP, port: 53}
`;
const SERVICE = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
`;
const route = (parent: string, backend: string, more = ""): string => `apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: web${more}}
spec:
  parentRefs:
  - ${parent}
  rules:
  - backendRefs:
    - ${backend}
`;

test("a folder of right manifests passes; hidden and other files are not read", async () => {
  mkdirSync(join(folder, "deep/.git"), { recursive: true });
  writeFileSync(join(folder, "deep/.git/x.yaml"), "[");
  writeFileSync(join(folder, "notes.txt"), "[");
  writeFileSync(join(folder, "deep/all.yaml"), [CLASS, GATEWAY, SERVICE].join("---\n"));
  writeFileSync(join(folder, "route.yml"), route("{name: gw, sectionName: web}", "{name: web, port: 80}"));
  const { status, output } = await run([folder, join(folder, "route.yml")]);
  expect(output).toBe("2 files, 4 valid objects, 0 errors, 0 warnings\n");
  expect(status).toBe(0);
});

test("errors and an object in two files fail, each with file, line and column", async () => {
  writeFileSync(join(folder, "a.yaml"), SERVICE);
  writeFileSync(join(folder, "b.yaml"), `${SERVICE}---\n${SERVICE.replace("80", "0")}`);
  const { status, lines } = await run([folder]);
  expect(status).toBe(1);
  expect(lines[0]).toMatch(/^error: .*b\.yaml:1:1: Service default\/web: is already defined in .*a\.yaml/);
  expect(lines.join("\n")).toMatch(
    /b\.yaml:9:23: Service default\/web: spec\.ports\[0\]\.port: must be at least 1, but is 0/,
  );
});

test("references that lead nowhere among the files are warnings at the field", async () => {
  const text = [
    CLASS,
    GATEWAY.replace("Name: causeway", "Name: causewya"),
    SERVICE,
    route("{name: gw, sectionName: wbe}", "{name: web, port: 81}"),
    route("{name: gw, sectionName: dns}", "{name: wbe, port: 80}", "-2"),
    route("{name: gw, namespace: other}", "{name: web, port: 80}", "-3"),
    `apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {md5: x}\n`,
    `apiVersion: causeway.dev/v1alpha1\nkind: BgpPeer\nmetadata: {name: r}\nspec: {address: 192.0.2.1, asn: 1, localAsn: 2, password: {secretRef: {name: keys}}}\n`,
    `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n`,
  ].join("---\n");
  const { status, lines } = await run(["-"], { input: text });
  expect(status).toBe(0);
  const warned = lines.slice(0, -1).map((line) => line.replace("warning: <stdin>:", ""));
  expect(warned).toEqual([
    "10:21: Gateway default/gw: spec.gatewayClassName: there is no GatewayClass causewya among these files (did you mean causeway?)",
    "25:29: TCPRoute default/web: spec.parentRefs[0].sectionName: Gateway default/gw has no such listener (it has web (port 80), dns (port 53))",
    "28:25: TCPRoute default/web: spec.rules[0].backendRefs[0].port: Service default/web has no port 81 (it has 80)",
    "35:29: TCPRoute default/web-2: spec.parentRefs[0].sectionName: a TCPRoute needs a listener of protocol TCP (dns is UDP)",
    "38:14: TCPRoute default/web-2: spec.rules[0].backendRefs[0].name: there is no Service default/wbe among these files (did you mean web?)",
    "45:12: TCPRoute default/web-3: spec.parentRefs[0].name: there is no Gateway other/gw among these files (there is Gateway default/gw)",
    '58:60: BgpPeer default/r: spec.password.secretRef.key: Secret keys has no key "password" (it has md5)',
    "60:1: Deployment d: apps/v1 Deployment is not read by Causeway",
  ]);
});

test("JSON for machines; a path that cannot be read is another status", async () => {
  const { status, output } = await run(["-"], { json: true, input: SERVICE.replace("80", "x") });
  expect(status).toBe(1);
  expect(JSON.parse(output)).toMatchObject({
    files: 1,
    objects: 0,
    findings: [{ severity: "error", file: "<stdin>", line: 4, column: 23, field: "spec.ports[0].port" }],
  });
  expect(await run([join(folder, "nowhere")])).toMatchObject({ status: 2, output: /ENOENT/ });
  expect((await run([folder])).output).toContain("no .yaml, .yml or .json file");
});
