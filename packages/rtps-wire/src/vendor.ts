const NAMES: ReadonlyMap<number, string> = new Map([
  [0x0101, "RTI Connext"],
  [0x0102, "OpenSplice"],
  [0x0103, "OpenDDS"],
  [0x0106, "CoreDX"],
  [0x010a, "RTI Connext Micro"],
  [0x010f, "eProsima Fast DDS"],
  [0x0110, "Eclipse Cyclone DDS"],
]);

/** What a vendor id stands for, where this package knows it. */
export function vendorName(vendorId: number): string | undefined {
  return NAMES.get(vendorId);
}
