"""Prints the entries of a data directory as `context-cache dump` does. Usage: python3 read_directory.py DATA_DIR"""
import json, os, re, struct, sys, time, zlib
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
NUMBERS = {0xCB: '>d', 0xCC: '>B', 0xCD: '>H', 0xCE: '>I', 0xD0: '>b', 0xD1: '>h', 0xD2: '>i'}
LENGTHS = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}  # of strings, arrays and maps

def decode(data, at):
    """Returns the MessagePack value at an index, and the index behind it."""
    code, at = data[at], at + 1
    if code < 0x80 or code >= 0xE0: return (code if code < 0x80 else code - 0x100), at
    if code in CONSTANTS: return CONSTANTS[code], at
    if code in NUMBERS: return struct.unpack_from(NUMBERS[code], data, at)[0], at + struct.calcsize(NUMBERS[code])
    start = at + LENGTHS.get(code, 0)
    size = int.from_bytes(data[at:start], 'big') if start > at else code & (0x1F if code >= 0xA0 else 0x0F)
    if 0xA0 <= code < 0xC0 or 0xD9 <= code <= 0xDB: return data[start:start + size].decode(), start + size
    is_map, items, at = 0xDE <= code <= 0xDF, [], start
    while len(items) < (2 * size if is_map else size):
        item, at = decode(data, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2])) if is_map else items), at

def frame(data, at):
    """Returns position, flags, synced bytes, count, payload and end of the whole frame at an index, or None."""
    checksum, length = struct.unpack('<II', data[at:at + 8].ljust(8, b'\0'))
    end = at + 24 + length
    if length == 0 or end > len(data) or zlib.crc32(data[at + 4:end]) != checksum: return None
    return int.from_bytes(data[at + 8:at + 14], 'little'), *struct.unpack_from('<HII', data, at + 14), data[at + 24:end], end

def original(data, path):
    """Returns the file that was compressed, or the file itself."""
    parts, at = [], 16
    while (block := frame(data, at)) and block[1] == 16: parts, at = parts + [zlib.decompress(block[4])], block[5]
    return sys.exit(f'{path} is damaged at byte {at}') if parts and at < len(data) else b''.join(parts) or data

def records(path, is_base, is_last):
    """Returns the records of whole groups, each with its position. Exits if the file is damaged."""
    data, at, found, whole = original(open(path, 'rb').read(), path), 16, [], 0
    if data[:16] != b'context-cache 4\n' or not frame(data, at): sys.exit(f'{path} has another format or a damaged heading')
    while header := frame(data, at):
        (position, flags, _, count, payload, at), index = header, 0
        for offset in range(0 if flags & 1 else count):  # 1: a note
            record, index = decode(payload, index)
            found.append((position + offset, record))
        if not flags & 2: whole = len(found)  # 2: the next frame belongs to the same group
    starts, shift = range(at + 1, len(data.rstrip(b'\0')) if is_last else 0), decode(frame(data, 16)[4], 0)[0].get('shift', 0)
    is_damaged = is_base and at < len(data) or any(at < f[2] - shift <= i for i in starts if (f := frame(data, i)))
    return sys.exit(f'{path} is damaged at byte {at}') if is_damaged else found[:whole]

root, state, now, END = f'{sys.argv[1]}/db', {}, time.time() * 1000, '9' * 16
logs, bases = (sorted(n for n in os.listdir(f'{root}/{kind}') if re.fullmatch(rf'\d{{16}}\.{kind}', n)) for kind in ('log', 'base'))
head = int(bases[-1][:16]) if bases else 0
for _, record in records(f'{root}/base/{bases[-1]}', True, False) if bases else []:
    if len(record) == 4: entries = state.setdefault(record[0], {})
    else: entries[record[0]] = [record[7], record[1], record[5]]
for name, next in zip(logs, logs[1:] + [END]):
    for position, (space, version, code, key, value, _, _, expires, *_) in records(f'{root}/log/{name}', False, next == END):
        if position <= head or position >= int(next[:16]): continue  # behind the next file's first position all is void
        if position != head + 1: sys.exit(f'position {head + 1} is missing')
        head, entries, code = position, state.setdefault(space, {}), code % 8  # 8 more: begins its namespace
        if code == 0: entries[key] = [value, version, expires]  # set
        elif code == 5: entries[key][1:] = [version, expires]  # touch
        elif code in (2, 6): entries.clear()  # clear_namespace, drop
        elif code == 7: [entries.pop(each, None) for each in value]  # clear of some keys
        else: entries.pop(key, None)  # delete, expire, evict
for space, key, (value, version, expires) in sorted((space, key, state[space][key]) for space in state for key in state[space]):
    line = {'namespace': space, 'key': key, 'value': value, 'version': version}
    if expires is None or expires > now: print(json.dumps(line, ensure_ascii=False))
