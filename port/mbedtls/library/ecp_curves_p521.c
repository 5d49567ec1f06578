/* P-521 out of the library's ecp_curves.c, without a table: see ecp_curves.c. */
#include <common.h>
#include <mbedtls/ecp.h>

int postern_ecp_load_p521(mbedtls_ecp_group *grp);

#undef MBEDTLS_ECP_DP_SECP256R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP384R1_ENABLED
#undef MBEDTLS_ECP_DP_CURVE25519_ENABLED
#undef MBEDTLS_ECP_FIXED_POINT_OPTIM
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0
#define mbedtls_ecp_group_load        load
static int load(mbedtls_ecp_group *grp, mbedtls_ecp_group_id id);
#include <ecp_curves.c>

int postern_ecp_load_p521(mbedtls_ecp_group *grp)
{
    return load(grp, MBEDTLS_ECP_DP_SECP521R1);
}
