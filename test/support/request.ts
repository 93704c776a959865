import { Admission } from '../../src/core/admission.ts';
import { createValueCheck } from '../../src/core/schemas.ts';
import { DEFAULT_VALUE_LIMITS } from '../../src/core/value.ts';

/** Admission with default limits and no schemas. */
export const door = new Admission(DEFAULT_VALUE_LIMITS, createValueCheck(undefined));
