import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { ApiConfigError } from "./api-config.ts";
import { inClusterConfig, isInCluster } from "./in-cluster.ts";
import { kubeconfig } from "./kubeconfig.ts";

let folder: string;
let nowMs = 0;
const clock = { nowMs: () => nowMs };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cw-kube-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const cluster = { server: "https://192.0.2.1:6443", "certificate-authority-data": base64("CA") };

function read(user: object, more: object = {}) {
  const path = join(folder, "config");
  const text = stringify({
    "current-context": "x",
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster: { ...cluster, ...more } }],
    users: [{ name: "u", user }],
  });
  writeFileSync(path, text);
  return kubeconfig(path, clock);
}

describe("kubeconfig", () => {
  test("a token, an authority, a server", () => {
    const config = read({ token: "t" });
    expect([config.server.host, config.ca(), config.token(), config.certificate()]).toEqual([
      "192.0.2.1:6443",
      "CA",
      "t",
      undefined,
    ]);
  });

  test("files are found beside it, and data comes before files", () => {
    mkdirSync(join(folder, "pki"));
    for (const name of ["crt", "key", "ca"]) writeFileSync(join(folder, "pki", name), `${name}\n`);
    const files = { "client-certificate": "pki/crt", "client-key": "pki/key" };
    const other = { "certificate-authority": "pki/ca" };
    expect(read(files, other).certificate()).toEqual({ cert: "crt", key: "key" });
    expect(read(files, other).ca()).toBe("CA");
    expect(read(files, { ...other, "certificate-authority-data": undefined }).ca()).toBe("ca");
    expect(read({ ...files, "client-key-data": base64("data") }).certificate()).toEqual({ cert: "crt", key: "data" });
  });

  test.each<readonly [string, object, object, RegExp]>([
    ["plain HTTP", {}, { server: "http://192.0.2.1" }, /cluster c: server: must be an https/],
    ["a plugin", { exec: { command: "aws" } }, {}, /user u: exec: credential plugins/],
    ["basic authentication", { username: "u" }, {}, /basic authentication/],
    ["a proxy", {}, { "proxy-url": "http://p" }, /proxies are not supported/],
    ["a certificate without its key", { "client-certificate-data": base64("c") }, {}, /go together/],
    ["no base64", {}, { "certificate-authority-data": "%" }, /certificate-authority-data/],
  ])("%s is refused with a reason", (_, user, more, reason) => {
    expect(() => read(user, more)).toThrow(ApiConfigError);
    expect(() => read(user, more)).toThrow(reason);
  });

  test("a file that is missing, is no YAML, or names what it does not have", () => {
    const path = join(folder, "config");
    expect(() => kubeconfig(path, clock)).toThrow(/cannot read kubeconfig/);
    for (const [text, reason] of [
      ["[", /cannot read kubeconfig/],
      ["{}", /no current-context/],
      ["{current-context: x}", /no context x/],
      ["{current-context: x, contexts: [{name: x, context: {cluster: c}}]}", /no cluster c/],
    ] as const) {
      writeFileSync(path, text);
      expect(() => kubeconfig(path, clock)).toThrow(reason);
    }
  });
});

describe("in a pod", () => {
  const env = { KUBERNETES_SERVICE_HOST: "2001:db8::1", KUBERNETES_SERVICE_PORT: "443" };
  const token = (text: string): void => writeFileSync(join(folder, "token"), `${text}\n`);

  test("token and authority are the service account's, and a token that was replaced is read", () => {
    expect(isInCluster(env, folder)).toBe(false);
    token("one");
    writeFileSync(join(folder, "ca.crt"), "CA\n");
    writeFileSync(join(folder, "namespace"), "causeway-system");
    expect(isInCluster(env, folder)).toBe(true);
    const config = inClusterConfig(env, clock, folder);
    expect([config.server.host, config.ca(), config.token()]).toEqual(["[2001:db8::1]", "CA", "one"]);
    expect(config.namespace).toBe("causeway-system");
    token("two");
    expect(config.token()).toBe("one");
    nowMs += 10_001;
    expect(config.token()).toBe("two");
    rmSync(join(folder, "token"));
    nowMs += 10_001;
    expect(config.token()).toBe("two");
  });

  test("elsewhere it says what to do", () => {
    expect(isInCluster({}, folder)).toBe(false);
    expect(() => inClusterConfig({}, clock, folder)).toThrow(/--kubeconfig/);
    expect(() => inClusterConfig(env, clock, folder)).toThrow(/cannot read .*token/);
  });
});
