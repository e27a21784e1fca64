"""What we build on in jupyter_server, JupyterHub and JupyterLab without being promised it.

A failure here says what moved upstream before it shows as something stranger.
"""

from __future__ import annotations

import inspect

from jupyter_server.kernelspecs import handlers as resources
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels import handlers as kernels
from jupyter_server.services.kernels.connection.base import BaseKernelWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from jupyter_server.services.kernelspecs import handlers as kernelspecs
from jupyter_server.services.sessions import handlers as sessions
from jupyter_server.services.sessions.sessionmanager import SessionManager
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from jupyterlab import commands
from tornado.websocket import WebSocketClientConnection

from spawner.singleuser import handlers


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]


def test_the_server_app_takes_our_classes_and_calls_what_we_override() -> None:
    for trait in (
        "kernel_manager_class",
        "kernel_spec_manager_class",
        "session_manager_class",
        "kernel_websocket_connection_class",
        "extra_services",
        "terminals_enabled",
    ):
        assert ServerApp.class_traits()[trait].metadata.get("config"), trait
    cleanup = source(ServerApp._cleanup)
    assert "self.cleanup_kernels()" in cleanup
    assert "kernel_websocket_connection_class.close_all()" in cleanup
    assert "self.stop(from_signal=True)" in source(ServerApp._signal_stop)
    assert "self.init_signal()" in source(ServerApp.initialize)
    assert "self.write_server_info_file()" in source(ServerApp.start_app)
    assert "self.write_browser_open_files()" in source(ServerApp.start_app)


def test_the_websocket_handler_uses_the_connection_as_we_expect() -> None:
    handler = source(KernelWebsocketHandler)
    for call in (
        "self.connection.connect()",
        "self.connection.disconnect()",
        "self.connection.session.session = ",
        "self.connection.kernel_ws_protocol",
        "self.pre_get()",
    ):
        assert call in handler, call
    for name in ("kernel_id", "session_id", "multi_kernel_manager", "websocket_handler"):
        assert hasattr(BaseKernelWebsocketConnection, name), name


def test_the_managers_are_asked_as_we_answer() -> None:
    assert "_kernels" in AsyncMappingKernelManager.class_traits()
    assert "self.kernel_culled(" in source(SessionManager.row_to_model)
    assert "session_id, path, name, type, kernel_id" in source(SessionManager)
    started = source(SessionManager.start_kernel_for_session)
    for argument in ("path=", "kernel_name=", "env=", "kernel_id="):
        assert argument in started, argument


def test_our_routes_are_jupyters_routes() -> None:
    theirs = {
        pattern
        for module in (kernels, kernelspecs, resources, sessions)
        for pattern, *_ in module.default_handlers
    }
    assert {pattern for pattern, _ in handlers.default_handlers} == theirs


def test_jupyters_handlers_chain_the_cause_that_we_unwrap() -> None:
    assert "raise web.HTTPError(500, str(e)) from e" in source(sessions.SessionRootHandler.post)
    assert 'raise web.HTTPError(500, "Exception restarting kernel") from e' in source(
        kernels.KernelActionHandler.post
    )
    assert 'model["kernel"].get("id") is not None' in source(sessions.SessionHandler.patch)


def test_jupyterhub_checks_and_reports_where_we_step_in() -> None:
    assert "self.check_hub_version" in source(JupyterHubSingleUser.initialize)
    assert '"page_config_hook"' in source(JupyterHubSingleUser.initialize)
    assert "web_app.last_activity()" in source(JupyterHubSingleUser.notify_activity)


def test_what_is_kept_from_running_node_is_still_what_runs_it() -> None:
    assert "node" in source(commands._yarn_config)


def test_a_websocket_client_shows_its_stream() -> None:
    assert "self.protocol.stream = " in source(WebSocketClientConnection)
