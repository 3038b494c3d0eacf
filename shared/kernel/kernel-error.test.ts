import { expect, test } from "vitest";
import {
  KernelBusyError,
  KernelExistsError,
  KernelInvalidError,
  KernelNotFoundError,
  KernelPermissionError,
  kernelError,
} from "./kernel-error.ts";

test.each([
  [2, KernelNotFoundError, "ENOENT"],
  [3, KernelNotFoundError, "ESRCH"],
  [19, KernelNotFoundError, "ENODEV"],
  [17, KernelExistsError, "EEXIST"],
  [4, KernelBusyError, "EINTR"],
  [105, KernelBusyError, "ENOBUFS"],
  [1, KernelPermissionError, "EPERM"],
  [22, KernelInvalidError, "EINVAL"],
  [99_999, KernelInvalidError, "errno 99999"],
])("errno %i says what to do", (errno, type, code) => {
  const error = kernelError(errno, "route 10.0.0.0/8", "the kernel's text");
  expect(error).toBeInstanceOf(type);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(/^route 10\.0\.0\.0\/8: the kernel's text/);
});

test("a refusal says which capability is missing", () => {
  expect(kernelError(1, "netns /run/netns/x", "", "CAP_SYS_ADMIN").message).toContain("needs CAP_SYS_ADMIN");
});
