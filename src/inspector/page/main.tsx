import { render } from 'preact';
import { App } from './app.tsx';
import { connect } from './live.ts';
import './styles/app.css';

const host = document.getElementById('app');
if (host !== null) render(<App />, host);
void connect();
