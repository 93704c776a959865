/** The bundler takes styles along that are imported. */
declare module '*.css';
