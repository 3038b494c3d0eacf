import { expect, test } from "vitest";
import {
  containersRequest,
  parseContainerIds,
  parseInfo,
  parseSandboxes,
  readySandboxesRequest,
  verboseStatusRequest,
} from "./runtime-messages.ts";

/*
 * Byte vectors from another implementation: `buf convert api.proto --type runtime.v1.X` with the api.proto of
 * kubernetes/cri-api, of the JSON in the comments.
 */
const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");

test("requests are what the interface's definition makes of them", () => {
  // {"filter": {"state": {"state": "SANDBOX_READY"}}}
  expect(readySandboxesRequest()).toEqual(bytes("CgISAA=="));
  // {"podSandboxId": "a1b2", "verbose": true}, {"containerId": "k1", "verbose": true}
  expect(verboseStatusRequest("a1b2")).toEqual(bytes("CgRhMWIyEAE="));
  expect(verboseStatusRequest("k1")).toEqual(bytes("CgJrMRAB"));
  // {"filter": {"podSandboxId": "a1b2"}}
  expect(containersRequest("a1b2")).toEqual(bytes("CgYaBGExYjI="));
});

test("sandboxes: those that are ready, with what names their pods", () => {
  // a1b2: pod shop/web-0, attempt 1, READY, createdAt 1790000000123456789, labels, annotations, runtimeHandler
  // c3: pod shop/web-1, NOTREADY
  const list = bytes(
    "CmIKBGExYjISFgoFd2ViLTASBTExLTIyGgRzaG9wIAEglZq72sLw1usYKgoKA2FwcBIDd2ViMiYKG2s4cy52MS5jbmkuY25jZi5pby9uZXR3b3Jrcx" +
      "IHc3ZjLW5ldDoEcnVuYwoXCgJjMxINCgV3ZWItMRoEc2hvcBgBIAE=",
  );
  expect(parseSandboxes(list)).toEqual([{ id: "a1b2", pod: "shop/web-0", createdAtNs: 1_790_000_000_123_456_789n }]);
  expect(parseSandboxes(Buffer.alloc(0))).toEqual([]);
});

test("info of a sandbox and ids of containers", () => {
  // {"status": {…}, "info": {"other": "[]", "info": "{\"pid\":7}"}}
  const status = bytes(
    "CkgKBGExYjISFAoFd2ViLTASBTExLTIyGgRzaG9wIJWau9rC8NbrGCoMCgoxMC4yNDQuMC43MgYKBBICEAE6CgoDYXBwEgN3ZWISEQoEaW5mbxIJ" +
      "eyJwaWQiOjd9EgsKBW90aGVyEgJbXQ==",
  );
  expect(parseInfo(status)).toBe('{"pid":7}');
  expect(parseInfo(Buffer.alloc(0))).toBeUndefined();
  // {"containers": [{"id": "k1", "podSandboxId": "a1b2", …}, {"id": "k2", "podSandboxId": "a1b2"}]}
  expect(parseContainerIds(bytes("Ch4KAmsxEgRhMWIyGgYKBGVjaG8iAwoBaSoBcjABOAUKCgoCazISBGExYjI="))).toEqual([
    "k1",
    "k2",
  ]);
});

test("a sandbox without id or pod, and text that is not UTF-8, are refused", () => {
  expect(() => parseSandboxes(bytes("CgQKAmEx"))).toThrow("no id, or no name");
  expect(() => parseSandboxes(Buffer.from([0x0a, 0x03, 0x0a, 0x01, 0xff]))).toThrow("UTF-8");
});
