import { bytesField, fieldsOf, varintField } from "./protobuf-fields.ts";

/*
 * The few messages of the container runtime interface that are used, with the numbers of their fields:
 * https://github.com/kubernetes/cri-api/blob/v0.34.0/pkg/apis/runtime/v1/api.proto
 */

/** A pod's sandbox: what its containers share, the network namespace among it. */
export interface PodSandbox {
  readonly id: string;
  /** `namespace/name` */
  readonly pod: string;
  /** Nanoseconds since 1970: of two sandboxes of a pod the younger one counts. */
  readonly createdAtNs: bigint;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function text(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new RangeError("a string is not UTF-8", { cause: error });
  }
}

/**
 * ListPodSandboxRequest: sandboxes that are ready. SANDBOX_READY is 0, which is not written: that the filter has a message
 * for the state is what says it.
 */
export function readySandboxesRequest(): Buffer {
  const state = Buffer.alloc(0);
  const filter = bytesField(2, state);
  return bytesField(1, filter);
}

/** PodSandboxStatusRequest and ContainerStatusRequest, which look the same: with all that is known. */
export function verboseStatusRequest(id: string): Buffer {
  return Buffer.concat([bytesField(1, id), varintField(2, 1)]);
}

/** ListContainersRequest: the containers of a sandbox. */
export function containersRequest(sandbox: string): Buffer {
  return bytesField(1, bytesField(3, sandbox));
}

/** ListPodSandboxResponse. @throws RangeError */
export function parseSandboxes(message: Buffer): readonly PodSandbox[] {
  const sandboxes: PodSandbox[] = [];
  for (const field of fieldsOf(message)) {
    if (field.number === 1 && field.kind === "bytes") sandboxes.push(...parseSandbox(field.value));
  }
  return sandboxes;
}

/** One that is not ready, from a runtime that passes over the filter, is left out. */
function parseSandbox(message: Buffer): PodSandbox[] {
  let id = "";
  let pod = "";
  let isReady = true;
  let createdAtNs = 0n;
  for (const field of fieldsOf(message)) {
    if (field.kind === "bytes") {
      if (field.number === 1) id = text(field.value);
      if (field.number === 2) pod = parsePod(field.value);
    } else {
      if (field.number === 3) isReady = field.value === 0n;
      if (field.number === 4) createdAtNs = BigInt.asIntN(64, field.value);
    }
  }
  if (id === "" || pod === "") throw new RangeError("a pod sandbox has no id, or no name and namespace of its pod");
  return isReady ? [{ id, pod, createdAtNs }] : [];
}

/** PodSandboxMetadata. @returns `namespace/name`, "" when one of them is missing. */
function parsePod(message: Buffer): string {
  let name = "";
  let namespace = "";
  for (const field of fieldsOf(message)) {
    if (field.kind !== "bytes") continue;
    if (field.number === 1) name = text(field.value);
    if (field.number === 3) namespace = text(field.value);
  }
  return name === "" || namespace === "" ? "" : `${namespace}/${name}`;
}

/** ListContainersResponse: the containers' ids. @throws RangeError */
export function parseContainerIds(message: Buffer): readonly string[] {
  const ids: string[] = [];
  for (const container of fieldsOf(message)) {
    if (container.number !== 1 || container.kind !== "bytes") continue;
    for (const field of fieldsOf(container.value)) {
      if (field.number === 1 && field.kind === "bytes") ids.push(text(field.value));
    }
  }
  return ids;
}

/** `info["info"]` of PodSandboxStatusResponse and ContainerStatusResponse; undefined: there is none. @throws RangeError */
export function parseInfo(message: Buffer): string | undefined {
  let info: string | undefined;
  for (const entry of fieldsOf(message)) {
    if (entry.number !== 2 || entry.kind !== "bytes") continue;
    let key = "";
    let value = "";
    for (const field of fieldsOf(entry.value)) {
      if (field.kind !== "bytes") continue;
      if (field.number === 1) key = text(field.value);
      if (field.number === 2) value = text(field.value);
    }
    if (key === "info") info = value;
  }
  return info;
}
