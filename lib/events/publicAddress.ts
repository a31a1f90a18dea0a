import { BlockList, isIP } from 'node:net';

/** IANA's registry of special-purpose IPv4 addresses (RFC 6890), multicast (RFC 5771) and what is reserved. */
const SPECIAL_IPV4: readonly (readonly [network: string, bits: number])[] = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // carrier-grade NAT
  ['127.0.0.0', 8], // loopback
  ['169.254.0.0', 16], // link-local, with the metadata services of clouds
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // relays of 6to4
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, broadcast
];

/** Inside global unicast (IANA's registry of special-purpose IPv6 addresses). */
const SPECIAL_IPV6: readonly (readonly [network: string, bits: number])[] = [
  ['2001::', 23], // protocol assignments: Teredo, benchmarks, ORCHID
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4: leads to any IPv4 address
  ['3fff::', 20], // documentation
];

/** NAT64 (RFC 6052): leads to the IPv4 address at its end. Resolvers in networks that only have IPv6 answer with these. */
const NAT64 = '64:ff9b::';
const NAT64_BITS = 96;

function specialAddresses(): BlockList {
  const special = new BlockList();
  for (const [network, bits] of SPECIAL_IPV4) {
    special.addSubnet(network, bits, 'ipv4');
    special.addSubnet(NAT64 + network, NAT64_BITS + bits, 'ipv6');
  }
  for (const [network, bits] of SPECIAL_IPV6) special.addSubnet(network, bits, 'ipv6');
  return special;
}

/** Of IPv6 nothing else is public: unspecified, loopback, IPv4-mapped, unique-local, link-local and multicast lie outside. */
function unicastAddresses(): BlockList {
  const unicast = new BlockList();
  unicast.addSubnet('2000::', 3, 'ipv6');
  unicast.addSubnet(NAT64, NAT64_BITS, 'ipv6');
  return unicast;
}

// Marked, so that bundles leave them out that call nobody outside.
const special = /* @__PURE__ */ specialAddresses();
const unicast = /* @__PURE__ */ unicastAddresses();

const holdsIpv6 = (list: BlockList, address: string) => list.check(address, 'ipv6');

/** True for an IP address that leads into the public internet, and nowhere near us. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, 'ipv4');
    case 6:
      return holdsIpv6(unicast, address) && !holdsIpv6(special, address);
    default:
      return false;
  }
}
