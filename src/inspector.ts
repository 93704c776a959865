export { startInspector } from './cache/start-inspector.ts';
export type { Inspection, NamespaceInfo, ObservedActor } from './engine/inspection.ts';
export type { Inspector, InspectorOptions, Redact, ValuePath } from './engine/inspector-options.ts';
export type { Inspectable, InspectableView } from './inspector/inspectable.ts';
export { hidesSecrets, wordsOf } from './inspector/reads/hides-secrets.ts';
