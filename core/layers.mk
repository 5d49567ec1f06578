# Which file of core/ is in which layer, lowest first; NAME stands for NAME.c and NAME.h, * for any
# rest. An include may point to the same layer or down, never up (make check-deps).
LAYERS = base codecs engines services mta

LAYER_base = teeth slice buf text pool heap arena timer err log crc32c net_addr budget rate
LAYER_codecs = base64 xtext scram submission proxy_header dovecot_auth der der_write pem x509 ocsp_response ocsp_request http url dns \
    resolv_conf smtp_answer mail_text mail_header peerlist \
    outbox smtp_line smtp_command smtp_reply address header envelope hostlist ocsp_reason mime dsn
LAYER_engines = smtp_client smtp_client_* smtp_login \
    smtpd smtpd_* tls tls_* ocsp_check ocsp_check_* ocsp_certid ocsp_report resolver \
    auth auth_users scram_keys scram_client policy
LAYER_services = lookup_io \
    spool spool_* queue queue_* running_time ocsp_staple ocsp_staple_* ocsp_fetch ocsp_fetch_* wall_time route route_* \
    deliver_* alias alias_* control conf conf_*
LAYER_mta = mta mta_*

# Who may include the public headers of Mbed TLS, and who its internals.
MBEDTLS_USERS = tls tls_* scram_keys ocsp_certid ocsp_check ocsp_check_* ocsp_staple ocsp_staple_*
MBEDTLS_INTERNALS = tls_status tls_status_*

# Who may keep state of its own: the hooks of Mbed TLS (memory, time, randomness) have no context.
PROCESS_STATE = tls_platform

# The layers that may know the port's contract (port/port.h).
PORT_USERS = services mta
