// The browser SDK of Herald.
export type * from './api.js';
export { Herald } from './client.js';
export { HeraldError } from './errors.js';
