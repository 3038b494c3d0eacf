/** Entity ids of the built-in endpoints (RTPS 9.3.1.3, DDS Security 7.4.7.1), where discovery looks. */
export const ENTITY_ID = {
  unknown: 0x0000_0000,
  participant: 0x0000_01c1,
  spdpWriter: 0x0001_00c2,
  spdpReader: 0x0001_00c7,
  publicationsWriter: 0x0000_03c2,
  publicationsReader: 0x0000_03c7,
  subscriptionsWriter: 0x0000_04c2,
  subscriptionsReader: 0x0000_04c7,
  participantMessageWriter: 0x0002_00c2,
  participantMessageReader: 0x0002_00c7,
  secureSpdpWriter: 0xff01_01c2,
  secureSpdpReader: 0xff01_01c7,
  securePublicationsWriter: 0xff00_03c2,
  securePublicationsReader: 0xff00_03c7,
  secureSubscriptionsWriter: 0xff00_04c2,
  secureSubscriptionsReader: 0xff00_04c7,
} as const;

/** Bits of `builtinEndpoints` (RTPS 9.3.2.12): which built-in endpoints a participant has. */
export const BUILTIN_ENDPOINT = {
  spdpWriter: 1 << 0,
  spdpReader: 1 << 1,
  publicationsWriter: 1 << 2,
  publicationsReader: 1 << 3,
  subscriptionsWriter: 1 << 4,
  subscriptionsReader: 1 << 5,
  participantMessageWriter: 1 << 10,
  participantMessageReader: 1 << 11,
} as const;
