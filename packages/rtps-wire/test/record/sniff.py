"""Prints every UDP datagram that passes DEVICE as a line of JSON: {"from", "to", "hex"}; ends on SIGTERM."""
import ipaddress, json, socket, struct, sys

packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
packets.bind((sys.argv[1], 0))
print(json.dumps("ready"), flush=True)
while True:
    frame = packets.recv(131072)
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800 and frame[23] == 17:
        udp = 14 + 4 * (frame[14] & 15)
        source, destination = frame[26:30], frame[30:34]
    elif kind == 0x86DD and frame[20] == 17:
        udp = 54
        source, destination = frame[22:38], frame[38:54]
    else:
        continue
    ports = struct.unpack_from("!HHH", frame, udp)
    names = [str(ipaddress.ip_address(address)) for address in (source, destination)]
    if kind == 0x86DD:
        names = [f"[{name}]" for name in names]
    data = frame[udp + 8 : udp + ports[2]]
    print(json.dumps({"from": f"{names[0]}:{ports[0]}", "to": f"{names[1]}:{ports[1]}", "hex": data.hex()}), flush=True)
