// The built package as the bench uses it. The parts are for limits that do the same work without a cache around it.

export { DirectorySnapshotStore } from '../../dist/src/backup.js';
export { decode, encode } from '../../dist/src/core/encoding/codec.js';
export { decodeEntry } from '../../dist/src/core/encoding/entry-codec.js';
export { createUpdate } from '../../dist/src/core/update.js';
export { ValueDoor } from '../../dist/src/core/value.js';
export { decodePart, encodeRow, PartBuilder } from '../../dist/src/followers/backup/snapshot-part.js';
export { AgentContextCache, ContextUpdateProcessor, replay } from '../../dist/src/index.js';
export { startInspector } from '../../dist/src/inspector.js';
export { nodeFiles } from '../../dist/src/storage/disk/files.js';
export { decodePage } from '../../dist/src/storage/disk/index/records/state-records.js';
export { encodeFrame } from '../../dist/src/storage/disk/log/frame.js';
export { Segments } from '../../dist/src/storage/disk/log/segments.js';
export { writeUpdate } from '../../dist/src/storage/disk/log/update-record.js';
