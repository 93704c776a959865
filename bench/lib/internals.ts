// The package, and parts of it for limits that do the same work without a cache around it. Built with the package, so that
// both have the same classes.
export { DirectorySnapshotStore } from '../../src/backup.ts';
export { connect } from '../../src/client.ts';
export { joinCluster } from '../../src/cluster/open/join-cluster.ts';
export { createCluster } from '../../src/cluster.ts';
export { decode, encode } from '../../src/core/encoding/codec.ts';
export { decodeEntry } from '../../src/core/encoding/entry-codec.ts';
export { createUpdate } from '../../src/core/update.ts';
export { ValueDoor } from '../../src/core/value.ts';
export { INTERNALS } from '../../src/engine/internals.ts';
export { decodePart, encodeRow, PartBuilder } from '../../src/followers/backup/snapshot-part.ts';
export { AgentContextCache, ContextUpdateProcessor, replay } from '../../src/index.ts';
export { startInspector } from '../../src/inspector.ts';
export { applyLines } from '../../src/serve/apply-lines.ts';
export { startServer } from '../../src/server.ts';
export { nodeFiles } from '../../src/storage/disk/files.ts';
export { decodePage } from '../../src/storage/disk/index/records/state-records.ts';
export { encodeFrame } from '../../src/storage/disk/log/frame.ts';
export { Segments } from '../../src/storage/disk/log/segments.ts';
export { writeUpdate } from '../../src/storage/disk/log/update-record.ts';
export { splitLines } from '../../src/wire/lines.ts';
