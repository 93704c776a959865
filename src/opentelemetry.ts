export { startTelemetry, type Telemetry, type TelemetryOptions } from './integrations/opentelemetry.ts';
